// Slots that read boxes of states that are known: edges.py, mailbox.py.
//
// A box is either a slot's, for all its steps (a mailbox), or a token's own (edges; then `values` and
// `keys` hold those of a few steps, from token `first_token` on).

#pragma once

#include <algorithm>
#include <atomic>
#include <iterator>
#include <vector>

#include "score.h"
#include "talk.h"

namespace mtgnn {

// Rows of weights and gradients are tokens, or [box, step]; a box has n positions.
struct BoxTensors : TalkTensors {
  Given box;                          // [S], the box of a slot; null where each token has one
  std::vector<int64_t> counts, ends;  // a step's boxes in use, and positions that are read
  Given query, query_back;            // packed [H, PA] and [PA, H], of all blocks or of each
  int64_t steps;
};

template <typename T>
class Boxes : public Spoken<T> {
 public:
  Boxes(const Shape& shape, BoxTensors tensors)
      : Spoken<T>(shape, tensors),
        tensors_(std::move(tensors)),
        box_(data<int64_t>(tensors_.box)),
        owned_(tensors_.query.has_value() && tensors_.query->size(0) > 1),
        query_(packed<T>(tensors_.query, spoken_)),
        query_back_(packed<T>(tensors_.query_back, shape.hidden)) {
    if (box_ == nullptr) return;
    for (const bool* row = mask_; row != mask_ + tensors_.mask.size(0) * count_; row += count_)
      lasts_.push_back(std::find(std::reverse_iterator(row + count_), std::reverse_iterator(row),
                                 true).base() - row);
  }

  // The boxes of the steps that come, values [*, n, H] and keys [*, n, PA].
  void open(int64_t first_token, const Tensor& values, const Given& keys) {
    first_token_ = first_token;
    values_ = data<T>(values), keys_ = data<T>(keys);
    if (att_ != nullptr && keys.has_value()) exponentiate_keys(keys->numel());
    TORCH_CHECK(values.size(1) == count_ && values.size(2) == shape_.hidden,
                "values: expected [*, ", count_, ", ", shape_.hidden, "], got ", values.sizes());
  }

  // Where gradients of those go: d_keys is added to, and still to be multiplied by the vector; for dot
  // scores it is left to products over many steps, of d_scores [*, n, P] with queries [*, PA]. So are
  // the values', of the weights with d_sent [*, C].
  void open_backward(const Tensor& d_sent, const Given& d_keys, const Given& d_scores,
                     const Given& queries) {
    d_sent_ = data<T>(d_sent), d_keys_ = data<T>(d_keys);
    d_scores_ = data<T>(d_scores), queries_ = data<T>(queries);
  }

  bool joins_blocks() const override { return false; }

  Lines<const T> message(int64_t t, int64_t block, int64_t place) const override {
    return {message_ + token(t, block, place) * shape_.heard, shape_.heard};
  }

  void forward(int64_t t, const Part& part, const States<const T>& before) override {
    const int64_t width = part.columns(shape_.steps[t]), size = shape_.hidden;
    std::vector<T> queries(2 * width * spoken_), weights(2 * count_);
    T *alpha = weights.data(), *used = alpha + count_;
    for (int64_t block = part.first; block < shape_.steps[t].blocks; block += part.stride) {
      const T* asked = project(t, part, width, block, before, queries.data());
      for (int64_t w = 0; w < width; ++w) {
        const Place here = find(t, block, part.begin + w);
        if (here.box < 0) continue;
        T* message = message_ + here.token * shape_.heard;
        for (int64_t p = 0; p < heads_; ++p) {
          weigh_box(p, block, here, asked + w * spoken_ + p * channels_, asked != queries.data(), alpha);
          const int64_t at = here.row * count_ * heads_ + p;
          for (int64_t j = 0; j < here.end; ++j) {
            alpha_[at + j * heads_] = alpha[j];
            used[j] = alpha[j] * this->keep(at + j * heads_);
          }
          weighted_sum(here.end, used, Lines<const T>{value(here, 0), size}, size,
                       message + p * size);
        }
        if (keep_message_ != nullptr)
          multiply_by(message, keep_message_ + here.token * shape_.heard, shape_.heard);
      }
    }
  }

  void begin_backward(int64_t parts) override {
    sums_.begin(parts, owned_ ? shape_.blocks * spoken_ : spoken_);
  }

  void end_backward() override {
    if (d_att_ != nullptr) sums_.add_to(d_att_);
  }

  void backward(int64_t t, const Part& part, const States<const T>& before, const States<T>& carry,
                const States<T>& d_asked) override {
    const int64_t width = part.columns(shape_.steps[t]), size = shape_.hidden;
    std::vector<T> queries(2 * width * spoken_), weights(2 * count_);
    T* sums = sums_.of(part);
    const T* asked = queries.data();
    T *d_alpha = weights.data(), *alpha = d_alpha + count_;
    for (int64_t block = part.first; block < shape_.steps[t].blocks; block += part.stride) {
      if (query_.given()) {
        asked = project(t, part, width, block, before, queries.data());
        for (int64_t w = 0; w < width; ++w)
          std::fill_n(d_asked(block, part.begin + w), spoken_, T(0));
      }
      for (int64_t w = 0; w < width; ++w) {
        const Place here = find(t, block, part.begin + w);
        if (here.box < 0) continue;
        T* d_sent = d_sent_ + here.fresh * shape_.heard;
        this->sent_backward(here.token, carry(block, part.begin + w) + size, d_sent);
        if (d_scores_ == nullptr && !query_.given()) continue;
        const T* query = asked + w * spoken_;
        if (queries_ != nullptr) std::copy_n(query, spoken_, queries_ + here.fresh * spoken_);
        for (int64_t p = 0; p < heads_; ++p) {
          const int64_t at = here.row * count_ * heads_ + p;
          for (int64_t j = 0; j < here.end; ++j) {
            alpha[j] = alpha_[at + j * heads_];
            d_alpha[j] = this->keep(at + j * heads_) * inner(d_sent + p * size, value(here, j), size);
            if (grad_alpha_ != nullptr) d_alpha[j] += grad_alpha_[at + j * heads_];
          }
          if (query_.given()) {
            weigh_backward(here.end, alpha, d_alpha);
            score_rows_backward(p, block, here, query + p * channels_, asked != queries.data(),
                                d_alpha, d_asked(block, part.begin + w) + p * channels_,
                                sums + owner(block) * spoken_ + p * channels_);
          }
          if (d_scores_ == nullptr) continue;
          T* d_scores = d_scores_ + here.fresh * count_ * heads_ + p;
          for (int64_t j = 0; j < here.end; ++j) d_scores[j * heads_] = d_alpha[j];
        }
      }
      if (query_.given()) project_backward(t, part, width, block, carry, d_asked);
    }
  }

 private:
  struct Place {
    int64_t token, box;  // −1: there is none, or it is read no more
    int64_t row, fresh;  // of the weights; of what open_backward got
    int64_t end;
  };

  // Score parameters are those of all blocks, or of each block.
  int64_t owner(int64_t block) const { return owned_ ? block : 0; }
  const T* vector(int64_t block, int64_t p) const {
    return att_ == nullptr ? nullptr : att(p) + owner(block) * spoken_;
  }

  int64_t token(int64_t t, int64_t block, int64_t place) const {
    const Step& step = shape_.steps[t];
    return step.start + block * step.width + place;
  }

  Place find(int64_t t, int64_t block, int64_t place) const {
    const int64_t own = token(t, block, place);
    if (box_ == nullptr) return {own, own - first_token_, own, own - first_token_, count_};
    const int64_t box = box_[block * shape_.width + place];
    if (box >= tensors_.counts[t]) return {own, -1, 0, 0, 0};
    const int64_t row = box * tensors_.steps + t;
    return {own, box, row, row, std::min(tensors_.ends[t], lasts_[box])};
  }

  const T* value(const Place& here, int64_t j) const {
    return values_ + (here.box * count_ + j) * shape_.hidden;
  }
  int64_t key_at(const Place& here, int64_t j, int64_t p) const {
    return (here.box * count_ + j) * spoken_ + p * channels_;
  }
  const bool* heard(const Place& here) const {  // of edges the mask is that of all tokens
    return mask_ + (box_ == nullptr ? here.token : here.box) * count_;
  }

  void exponentiate_keys(int64_t count) {
    exponentials_.resize(count);
    std::atomic<bool> fit{true};
    at::parallel_for(0, count, 1 << 14, [&](int64_t begin, int64_t end) {
      if (!exponentiate(keys_ + begin, end - begin, exponentials_.data() + begin)) fit = false;
    });
    fit_ = fit;
  }

  void weigh_box(int64_t p, int64_t block, const Place& here, const T* query, bool quick, T* alpha) const {
    const bool* there = heard(here);
    if (query_.given()) {
      const T* keys = quick ? exponentials_.data() : keys_;
      const auto key = [&](int64_t j) { return keys + key_at(here, j, p); };
      if (quick)
        weigh(here.end, there, query, key, vector(block, p), channels_, OfExponentials(), alpha);
      else
        weigh(here.end, there, query, key, vector(block, p), channels_, OfSums(), alpha);
    } else if (fixed_ != nullptr) {
      for (int64_t j = 0; j < here.end; ++j)
        alpha[j] = fixed_[(here.row * count_ + j) * heads_ + p];
    } else {
      const int64_t sum = std::count(there, there + here.end, true);
      for (int64_t j = 0; j < here.end; ++j) alpha[j] = there[j] ? T(1) / T(sum) : T(0);
    }
  }

  // For dot scores the keys' gradient is left to a product over all steps.
  void score_rows_backward(int64_t p, int64_t block, const Place& here, const T* query, bool quick,
                           const T* d_scores, T* d_query, T* sum) const {
    if (att_ == nullptr) {
      weighted_sum(here.end, d_scores, Lines<const T>{keys_ + key_at(here, 0, p), spoken_},
                   channels_, d_query);
      return;
    }
    for (int64_t j = 0; j < here.end; ++j) {
      if (d_scores[j] == T(0)) continue;
      const int64_t key = key_at(here, j, p);
      T* d_key = d_keys_ + key;
      if (quick)
        score_backward(d_scores[j], query, exponentials_.data() + key, channels_, d_query, d_key, sum,
                       OfExponentials());
      else
        score_backward(d_scores[j], query, keys_ + key, channels_, d_query, d_key, sum, OfSums());
    }
    multiply_by(d_query, vector(block, p), channels_);
  }

  // Queries of a block, in the first half of the room, or their exponentials, in the second.
  const T* project(int64_t t, const Part& part, int64_t width, int64_t block,
                   const States<const T>& before, T* queries) const {
    if (!query_.given()) return queries;
    const Lines<const T> word{word_ + token(t, block, part.begin) * spoken_, spoken_};
    multiply(width, before.lines(block, part.begin), query_, owner(block), shape_.hidden, &word,
             Lines<T>{queries, spoken_});
    T* second = queries + width * spoken_;
    return fit_ && exponentiate(queries, width * spoken_, second) ? second : queries;
  }

  void project_backward(int64_t t, const Part& part, int64_t width, int64_t block,
                        const States<T>& carry, const States<T>& d_asked) {
    const auto back = carry.lines(block, part.begin);
    const Lines<const T> start{back.data, back.stride};
    const Lines<const T> d_query{d_asked(block, part.begin), d_asked.by_place};
    multiply(width, d_query, query_back_, owner(block), spoken_, &start, back);
    for (int64_t w = 0; w < width; ++w)
      std::copy_n(d_query(w), spoken_, d_word_ + token(t, block, part.begin + w) * spoken_);
  }

  using Spoken<T>::shape_, Spoken<T>::count_, Spoken<T>::heads_, Spoken<T>::channels_;
  using Spoken<T>::spoken_, Spoken<T>::mask_, Spoken<T>::word_, Spoken<T>::att_, Spoken<T>::att;
  using Spoken<T>::fixed_, Spoken<T>::message_, Spoken<T>::alpha_, Spoken<T>::keep_message_;
  using Spoken<T>::grad_alpha_, Spoken<T>::d_word_, Spoken<T>::d_att_;

  const BoxTensors tensors_;
  const int64_t* box_;
  const bool owned_;
  std::vector<int64_t> lasts_;  // where the last position of each box ends that is read at all
  const Packed<T> query_, query_back_;
  int64_t first_token_ = 0;
  const T *values_ = nullptr, *keys_ = nullptr;
  T *d_sent_ = nullptr, *d_keys_ = nullptr, *d_scores_ = nullptr, *queries_ = nullptr;
  std::vector<T> exponentials_;  // of keys, for additive scores
  bool fit_ = false;
  Sums<T> sums_;  // of the vector's gradient
};

}  // namespace mtgnn
