// Nodes that hear each other's states of the step before: mutual.py, pairs.py, sparse.py.

#pragma once

#include <vector>

#include "loop.h"
#include "score.h"

namespace mtgnn {

// Tensors of a mutual exchange; sizes as in Python. Weights lie at strides: dense ones are
// [P, W, R, J], sparse ones [L, J, P].
struct MutualTensors {
  Tensor sender, mask;                    // [R, J]
  Given pair, pair_back, word, att, fixed;  // pair: packed [H, 2PA], pair_back: packed [2PA, H]
  Given learns;
  Tensor message, alpha;
  Given keep_message, keep_alpha, grad_message, grad_alpha;
  Given d_word, d_att, d_fixed;
  int64_t heads, channels;
  bool dense, keeps_messages = true;  // else `message` [width, R, C] holds those of one step
};

template <typename T>
class Mutual : public Talk<T> {
 public:
  Mutual(const Shape& shape, MutualTensors tensors)
      : shape_(shape),
        tensors_(std::move(tensors)),
        rows_(tensors_.mask.size(0)),
        count_(tensors_.mask.size(1)),
        heads_(tensors_.heads),
        channels_(tensors_.channels),
        spoken_(heads_ * channels_),
        sender_(data<int64_t>(tensors_.sender)),
        mask_(data<bool>(tensors_.mask)),
        pair_(packed<T>(tensors_.pair, 2 * spoken_)),
        pair_back_(packed<T>(tensors_.pair_back, shape.hidden)),
        word_(data<T>(tensors_.word)),
        att_(data<T>(tensors_.att)),
        fixed_(data<T>(tensors_.fixed)),
        learns_(data<T>(tensors_.learns)),
        message_(data<T>(tensors_.message)),
        alpha_(data<T>(tensors_.alpha)),
        keep_message_(data<T>(tensors_.keep_message)),
        keep_alpha_(data<T>(tensors_.keep_alpha)),
        grad_message_(data<T>(tensors_.grad_message)),
        grad_alpha_(data<T>(tensors_.grad_alpha)),
        d_word_(data<T>(tensors_.d_word)),
        d_att_(data<T>(tensors_.d_att)),
        d_fixed_(data<T>(tensors_.d_fixed)) {
    own_words_ = word_ != nullptr && tensors_.word->size(0) == total();
  }

  bool joins_blocks() const override { return true; }

  Lines<const T> message(int64_t t, int64_t block, int64_t place) const override {
    return {message_ + message_of(t, block, place), message_stride()};
  }

  void forward(int64_t t, const Part& part, const States<const T>& before) override {
    const int64_t width = part.columns(shape_.steps[t]), size = shape_.hidden;
    std::vector<T> both(fixed_ == nullptr ? rows_ * width * 2 * spoken_ : 0), weights(2 * count_);
    const bool quick = fixed_ == nullptr && project(t, part, width, before, both.data());
    T *alpha = weights.data(), *used = alpha + count_;
    for (int64_t w = 0; w < width; ++w) {
      const int64_t place = part.begin + w;
      for (int64_t r = 0; r < rows_; ++r) {
        T* message = message_ + message_of(t, r, place);
        for (int64_t p = 0; p < heads_; ++p) {
          weigh_row(p, r, w, width, both.data(), quick, alpha);
          const int64_t at = alpha_of(t, p, r, place);
          for (int64_t j = 0; j < count_; ++j) {
            alpha_[at + j * alpha_stride()] = alpha[j];
            used[j] = keep_alpha_ == nullptr ? alpha[j]
                                             : alpha[j] * keep_alpha_[at + j * alpha_stride()];
          }
          if (tensors_.dense) {
            weighted_sum(count_, used, before.blocks(place), size, message + p * size);
          } else {
            std::fill_n(message + p * size, size, T(0));
            for (int64_t j = 0; j < count_; ++j)
              if (heard(r)[j])
                add_scaled(message + p * size, used[j], before(sender(r, j), place), size);
          }
        }
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
                const Spoken<T>& spoken) override {
    const int64_t width = part.columns(shape_.steps[t]), size = shape_.hidden;
    const bool scored = fixed_ == nullptr;
    std::vector<T> both(scored ? rows_ * width * 2 * spoken_ : 0), d_alphas(count_);
    std::vector<T> used(count_), d_sent(shape_.heard);
    T* sums = sums_.of(part);
    bool quick = false;
    if (scored) {
      quick = project(t, part, width, before, both.data());
      for (int64_t r = 0; r < rows_; ++r)
        std::fill_n(spoken(r, part.begin), width * 2 * spoken_, T(0));
    }
    for (int64_t w = 0; w < width; ++w) {
      const int64_t place = part.begin + w;
      for (int64_t r = 0; r < rows_; ++r) {
        const int64_t from = place_of(t, r, place) * shape_.heard;
        const T* d_message = carry(r, place) + size;
        for (int64_t e = 0; e < shape_.heard; ++e) {
          const T given = grad_message_ == nullptr ? T(0) : grad_message_[from + e];
          d_sent[e] = (d_message[e] + given) * (keep_message_ == nullptr ? T(1) : keep_message_[from + e]);
        }
        if (!tensors_.keeps_messages) receive(t, r, place, before, used.data());
        for (int64_t p = 0; p < heads_; ++p) {
          const T* d_head = d_sent.data() + p * size;
          const int64_t at = alpha_of(t, p, r, place);
          T* d_alpha = d_alphas.data();
          for (int64_t j = 0; j < count_; ++j) {
            d_alpha[j] = T(0);
            if (!heard(r)[j]) continue;
            const int64_t s = sender(r, j), here = at + j * alpha_stride();
            const T keep = keep_alpha_ == nullptr ? T(1) : keep_alpha_[here];
            d_alpha[j] = keep * inner(d_head, before(s, place), size);
            if (grad_alpha_ != nullptr) d_alpha[j] += grad_alpha_[here];
            const T learns = learns_ == nullptr ? T(1) : learns_[s];
            add_scaled(carry(s, place), learns * keep * alpha_[here], d_head, size);
          }
          if (!scored) {
            T* sum = sums + (p * rows_ + r) * count_;
            for (int64_t j = 0; j < count_; ++j) sum[j] += d_alpha[j];
            continue;
          }
          T mean = 0;
          for (int64_t j = 0; j < count_; ++j) mean += alpha_[at + j * alpha_stride()] * d_alpha[j];
          const T* query = both.data() + (r * width + w) * 2 * spoken_ + p * channels_;
          T* d_query = spoken(r, place) + p * channels_;
          for (int64_t j = 0; j < count_; ++j) {
            const T grad = alpha_[at + j * alpha_stride()] * (d_alpha[j] - mean);
            if (!heard(r)[j] || grad == T(0)) continue;
            const int64_t s = sender(r, j);
            const T* own = key(both.data(), s, w, width, p);
            T* d_key = spoken(s, place) + spoken_ + p * channels_;
            T* sum = att_ == nullptr ? nullptr : sums + p * channels_;
            if (quick)
              score_backward(grad, query, own, channels_, d_query, d_key, sum, OfExponentials());
            else
              score_backward(grad, query, own, channels_, d_query, d_key, sum, OfSums());
          }
        }
      }
    }
    if (scored) project_backward(t, part, width, carry, spoken);
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
  // A dense receiver's message, anew from the weights.
  void receive(int64_t t, int64_t r, int64_t place, const States<const T>& before, T* used) {
    for (int64_t p = 0; p < heads_; ++p) {
      const int64_t at = alpha_of(t, p, r, place);
      for (int64_t j = 0; j < count_; ++j)
        used[j] = keep_alpha_ == nullptr ? alpha_[at + j] : alpha_[at + j] * keep_alpha_[at + j];
      weighted_sum(count_, used, before.blocks(place), shape_.hidden,
                   message_ + message_of(t, r, place) + p * shape_.hidden);
    }
  }
  int64_t message_stride() const { return tensors_.dense ? rows_ * shape_.heard : shape_.heard; }
  int64_t alpha_of(int64_t t, int64_t p, int64_t r, int64_t place) const {
    const int64_t row = place_of(t, r, place);
    return tensors_.dense ? (p * total() + row) * count_ : row * count_ * heads_ + p;
  }
  int64_t alpha_stride() const { return tensors_.dense ? 1 : heads_; }
  int64_t sender(int64_t r, int64_t j) const { return sender_[r * count_ + j]; }
  const bool* heard(int64_t r) const { return mask_ + r * count_; }
  const T* att(int64_t p) const { return att_ == nullptr ? nullptr : att_ + p * channels_; }
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
      std::copy_n(fixed_ + (p * rows_ + r) * count_, count_, alpha);
      return;
    }
    const T* query = both + (r * width + w) * 2 * spoken_ + p * channels_;
    const auto own = [&](int64_t j) { return key(both, sender(r, j), w, width, p); };
    if (quick)
      weigh(count_, heard(r), query, own, att(p), channels_, OfExponentials(), alpha);
    else
      weigh(count_, heard(r), query, own, att(p), channels_, OfSums(), alpha);
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
                        const Spoken<T>& spoken) {
    for (int64_t r = 0; r < rows_; ++r) {
      for (int64_t w = 0; att_ != nullptr && w < width; ++w) {
        multiply_by(spoken(r, part.begin + w), att_, spoken_);
        multiply_by(spoken(r, part.begin + w) + spoken_, att_, spoken_);
      }
      // Into the state of a sender that does not learn nothing flows through its keys.
      const bool cut = learns_ != nullptr && learns_[r] == T(0);
      const auto back = carry.lines(r, part.begin);
      const Lines<const T> start{back.data, back.stride};
      multiply<T>(width, {spoken(r, part.begin), spoken.by_place}, pair_back_, 0,
                  cut ? spoken_ : 2 * spoken_, &start, back);
      if (d_word_ == nullptr) continue;
      for (int64_t w = 0; w < width; ++w)
        add_scaled(d_word_ + word_row(t, r, part.begin + w) * spoken_, T(1),
                   const_cast<const T*>(spoken(r, part.begin + w)), spoken_);
    }
  }

  const Shape shape_;
  const MutualTensors tensors_;
  const int64_t rows_, count_, heads_, channels_, spoken_;
  const int64_t* sender_;
  const bool* mask_;
  const Packed<T> pair_, pair_back_;
  const T *word_, *att_, *fixed_, *learns_;
  T *message_, *alpha_;
  const T *keep_message_, *keep_alpha_, *grad_message_, *grad_alpha_;
  T *d_word_, *d_att_, *d_fixed_;
  bool own_words_ = false;
  Sums<T> sums_;  // of the vector's gradient, or that of fixed weights
};

}  // namespace mtgnn
