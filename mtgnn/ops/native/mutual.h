// Nodes that hear each other's states of the step before: mutual.py, pairs.py, sparse.py.

#pragma once

#include <vector>

#include "score.h"
#include "talk.h"

namespace mtgnn {

// Weights lie at strides: dense ones are [P, W, R, J], sparse ones [W, E, P].
struct MutualTensors : TalkTensors {
  Tensor sender;               // [R, J], like `mask`; of a sparse graph a row's senders come first
  std::vector<int64_t> first;  // [R + 1], sparse: the first edge into each row
  Given pair, pair_back;  // packed [H, 2PA] and [2PA, H]
  Given learns, d_fixed;
  bool dense, keeps_messages = true;  // else `message` [width, R, C] holds those of one step
};

template <typename T>
class Mutual : public Spoken<T> {
 public:
  Mutual(const Shape& shape, MutualTensors tensors)
      : Spoken<T>(shape, tensors),
        tensors_(std::move(tensors)),
        rows_(tensors_.mask.size(0)),
        sender_(data<int64_t>(tensors_.sender)),
        pair_(packed<T>(tensors_.pair, 2 * spoken_)),
        pair_back_(packed<T>(tensors_.pair_back, shape.hidden)),
        learns_(data<T>(tensors_.learns)),
        d_fixed_(data<T>(tensors_.d_fixed)) {
    TORCH_CHECK(tensors_.dense || int64_t(tensors_.first.size()) == rows_ + 1,
                "first: expected ", rows_ + 1, " numbers, got ", tensors_.first.size());
    own_words_ = word_ != nullptr && tensors_.word->size(0) == total();
  }

  bool joins_blocks() const override { return true; }

  Lines<const T> message(int64_t t, int64_t block, int64_t place) const override {
    return {message_ + message_of(t, block, place), message_stride()};
  }

  void forward(int64_t t, const Part& part, const States<const T>& before) override {
    const int64_t width = part.columns(shape_.steps[t]);
    std::vector<T> both(fixed_ == nullptr ? rows_ * width * 2 * spoken_ : 0), weights(2 * count_);
    const bool quick = fixed_ == nullptr && project(t, part, width, before, both.data());
    T *alpha = weights.data(), *used = alpha + count_;
    for (int64_t w = 0; w < width; ++w) {
      const int64_t place = part.begin + w;
      for (int64_t r = 0; r < rows_; ++r) {
        for (int64_t p = 0; p < heads_; ++p) {
          weigh_row(p, r, w, width, both.data(), quick, alpha);
          const int64_t at = alpha_of(t, p, r, place);
          for (int64_t j = 0; j < senders(r); ++j) alpha_[at + j * alpha_stride()] = alpha[j];
        }
        receive(t, r, place, before, used);
        T* message = message_ + message_of(t, r, place);
        if (keep_message_ != nullptr)
          multiply_by(message, keep_message_ + (message - message_), shape_.heard);
      }
    }
  }

  void begin_backward(int64_t parts) override {
    sums_.begin(parts, fixed_ == nullptr ? spoken_ : heads_ * rows_ * count_);
  }

  void end_backward() override {
    T* total = fixed_ == nullptr ? d_att_ : d_fixed_;
    if (total != nullptr) sums_.add_to(total);
  }

  void backward(int64_t t, const Part& part, const States<const T>& before, const States<T>& carry,
                const States<T>& d_asked) override {
    const int64_t width = part.columns(shape_.steps[t]), size = shape_.hidden;
    const bool scored = fixed_ == nullptr;
    std::vector<T> both(scored ? rows_ * width * 2 * spoken_ : 0), d_alphas(count_);
    std::vector<T> used(count_), d_sent(shape_.heard);
    T* sums = sums_.of(part);
    bool quick = false;
    if (scored) {
      quick = project(t, part, width, before, both.data());
      for (int64_t r = 0; r < rows_; ++r)
        for (int64_t w = 0; w < width; ++w)
          std::fill_n(d_asked(r, part.begin + w), 2 * spoken_, T(0));
    }
    for (int64_t w = 0; w < width; ++w) {
      const int64_t place = part.begin + w;
      for (int64_t r = 0; r < rows_; ++r) {
        this->sent_backward(place_of(t, r, place), carry(r, place) + size, d_sent.data());
        if (!tensors_.keeps_messages) receive(t, r, place, before, used.data());
        for (int64_t p = 0; p < heads_; ++p) {
          const T* d_head = d_sent.data() + p * size;
          const int64_t at = alpha_of(t, p, r, place);
          T* d_alpha = d_alphas.data();
          for (int64_t j = 0; j < senders(r); ++j) {
            d_alpha[j] = T(0);
            if (!heard(r)[j]) continue;
            const int64_t s = sender(r, j), here = at + j * alpha_stride();
            const T keep = this->keep(here);
            d_alpha[j] = keep * inner(d_head, before(s, place), size);
            if (grad_alpha_ != nullptr) d_alpha[j] += grad_alpha_[here];
            const T learns = learns_ == nullptr ? T(1) : learns_[s];
            add_scaled(carry(s, place), learns * keep * alpha_[here], d_head, size);
          }
          if (!scored) {
            T* sum = sums + (p * rows_ + r) * count_;
            for (int64_t j = 0; j < senders(r); ++j) sum[j] += d_alpha[j];
            continue;
          }
          T mean = 0;
          for (int64_t j = 0; j < senders(r); ++j)
            mean += alpha_[at + j * alpha_stride()] * d_alpha[j];
          const T* query = both.data() + (r * width + w) * 2 * spoken_ + p * channels_;
          T* d_query = d_asked(r, place) + p * channels_;
          for (int64_t j = 0; j < senders(r); ++j) {
            const T grad = alpha_[at + j * alpha_stride()] * (d_alpha[j] - mean);
            if (!heard(r)[j] || grad == T(0)) continue;
            const int64_t s = sender(r, j);
            const T* own = key(both.data(), s, w, width, p);
            T* d_key = d_asked(s, place) + spoken_ + p * channels_;
            T* sum = att_ == nullptr ? nullptr : sums + p * channels_;
            if (quick)
              score_backward(grad, query, own, channels_, d_query, d_key, sum, OfExponentials());
            else
              score_backward(grad, query, own, channels_, d_query, d_key, sum, OfSums());
          }
        }
      }
    }
    if (scored) project_backward(t, part, width, carry, d_asked);
  }

 private:
  int64_t total() const {
    const Step& last = shape_.steps.back();
    return last.start + last.blocks * last.width;
  }
  // The row of a slot's message, and how far the next place's is.
  int64_t place_of(int64_t t, int64_t block, int64_t place) const {
    const Step& step = shape_.steps[t];
    if (tensors_.dense) return step.start + place * rows_ + block;
    return step.start + block * step.width + place;
  }
  int64_t message_of(int64_t t, int64_t block, int64_t place) const {
    const int64_t row = tensors_.keeps_messages ? place_of(t, block, place) : place * rows_ + block;
    return row * shape_.heard;
  }
  // A receiver's message from its weights, before dropout.
  void receive(int64_t t, int64_t r, int64_t place, const States<const T>& before, T* used) {
    const int64_t size = shape_.hidden;
    for (int64_t p = 0; p < heads_; ++p) {
      const int64_t at = alpha_of(t, p, r, place), stride = alpha_stride();
      for (int64_t j = 0; j < senders(r); ++j)
        used[j] = alpha_[at + j * stride] * this->keep(at + j * stride);
      T* message = message_ + message_of(t, r, place) + p * size;
      if (tensors_.dense) {
        weighted_sum(count_, used, before.blocks(place), size, message);
        continue;
      }
      std::fill_n(message, size, T(0));
      for (int64_t j = 0; j < senders(r); ++j)
        if (heard(r)[j]) add_scaled(message, used[j], before(sender(r, j), place), size);
    }
  }
  int64_t message_stride() const { return tensors_.dense ? rows_ * shape_.heard : shape_.heard; }
  int64_t alpha_of(int64_t t, int64_t p, int64_t r, int64_t place) const {
    if (tensors_.dense) return (p * total() + place_of(t, r, place)) * count_;
    const int64_t sequence = shape_.steps[t].start / rows_ + place;
    return (sequence * tensors_.first.back() + tensors_.first[r]) * heads_ + p;
  }
  int64_t alpha_stride() const { return tensors_.dense ? 1 : heads_; }
  // Places of a row in which there may be a sender.
  int64_t senders(int64_t r) const {
    return tensors_.dense ? count_ : tensors_.first[r + 1] - tensors_.first[r];
  }
  int64_t sender(int64_t r, int64_t j) const { return sender_[r * count_ + j]; }
  const bool* heard(int64_t r) const { return mask_ + r * count_; }
  const T* key(const T* both, int64_t s, int64_t w, int64_t width, int64_t p) const {
    return both + (s * width + w) * 2 * spoken_ + spoken_ + p * channels_;
  }
  // The word's row of a slot, and how many rows there are in a step for each block.
  int64_t word_row(int64_t t, int64_t block, int64_t place) const {
    const Step& step = shape_.steps[t];
    return own_words_ ? step.start + block * step.width + place : step.start / rows_ + place;
  }

  void weigh_row(int64_t p, int64_t r, int64_t w, int64_t width, const T* both, bool quick,
                 T* alpha) const {
    if (fixed_ != nullptr) {
      std::copy_n(fixed_ + (p * rows_ + r) * count_, senders(r), alpha);
      return;
    }
    const T* query = both + (r * width + w) * 2 * spoken_ + p * channels_;
    const auto own = [&](int64_t j) { return key(both, sender(r, j), w, width, p); };
    if (quick)
      weigh(senders(r), heard(r), query, own, att(p), channels_, OfExponentials(), alpha);
    else
      weigh(senders(r), heard(r), query, own, att(p), channels_, OfSums(), alpha);
  }

  // Queries and keys of all nodes, [R, width, 2PA]; whether they are exponentials.
  bool project(int64_t t, const Part& part, int64_t width, const States<const T>& before,
               T* both) const {
    for (int64_t r = 0; r < rows_; ++r) {
      const Lines<T> out{both + r * width * 2 * spoken_, 2 * spoken_};
      multiply<T>(width, before.lines(r, part.begin), pair_, 0, shape_.hidden, nullptr, out);
      if (word_ == nullptr) continue;
      for (int64_t w = 0; w < width; ++w)
        add_scaled(out(w), T(1), word_ + word_row(t, r, part.begin + w) * spoken_, spoken_);
    }
    return att_ != nullptr && exponentiate(both, rows_ * width * 2 * spoken_, both);
  }

  void project_backward(int64_t t, const Part& part, int64_t width, const States<T>& carry,
                        const States<T>& d_asked) {
    for (int64_t r = 0; r < rows_; ++r) {
      for (int64_t w = 0; att_ != nullptr && w < width; ++w) {
        multiply_by(d_asked(r, part.begin + w), att_, spoken_);
        multiply_by(d_asked(r, part.begin + w) + spoken_, att_, spoken_);
      }
      // Into the state of a sender that does not learn nothing flows through its keys.
      const bool cut = learns_ != nullptr && learns_[r] == T(0);
      const auto back = carry.lines(r, part.begin);
      const Lines<const T> start{back.data, back.stride};
      multiply<T>(width, {d_asked(r, part.begin), d_asked.by_place}, pair_back_, 0,
                  cut ? spoken_ : 2 * spoken_, &start, back);
      if (d_word_ == nullptr) continue;
      for (int64_t w = 0; w < width; ++w)
        add_scaled(d_word_ + word_row(t, r, part.begin + w) * spoken_, T(1),
                   const_cast<const T*>(d_asked(r, part.begin + w)), spoken_);
    }
  }

  using Spoken<T>::shape_, Spoken<T>::count_, Spoken<T>::heads_, Spoken<T>::channels_;
  using Spoken<T>::spoken_, Spoken<T>::mask_, Spoken<T>::word_, Spoken<T>::att_, Spoken<T>::att;
  using Spoken<T>::fixed_, Spoken<T>::message_, Spoken<T>::alpha_, Spoken<T>::keep_message_;
  using Spoken<T>::grad_alpha_, Spoken<T>::d_word_, Spoken<T>::d_att_;

  const MutualTensors tensors_;
  const int64_t rows_;
  const int64_t* sender_;
  const Packed<T> pair_, pair_back_;
  const T* learns_;
  T* d_fixed_;
  bool own_words_ = false;
  Sums<T> sums_;  // of the vector's gradient, or that of fixed weights
};

}  // namespace mtgnn
