// What communications have in common: what they say and hear, and its gradients.

#pragma once

#include "loop.h"

namespace mtgnn {

// Tensors of any communication; sizes as in Python, `mask` by receiver or box and sender.
struct TalkTensors {
  Tensor mask;
  Given word, att, fixed;
  Tensor message, alpha;
  Given keep_message, keep_alpha, grad_message, grad_alpha;
  Given d_word, d_att;
  int64_t heads, channels;
};

template <typename T>
class Spoken : public Talk<T> {
 protected:
  Spoken(const Shape& shape, const TalkTensors& tensors)
      : shape_(shape),
        count_(tensors.mask.size(1)),
        heads_(tensors.heads),
        channels_(tensors.channels),
        spoken_(heads_ * channels_),
        mask_(data<bool>(tensors.mask)),
        word_(data<T>(tensors.word)),
        att_(data<T>(tensors.att)),
        fixed_(data<T>(tensors.fixed)),
        message_(data<T>(tensors.message)),
        alpha_(data<T>(tensors.alpha)),
        keep_message_(data<T>(tensors.keep_message)),
        keep_alpha_(data<T>(tensors.keep_alpha)),
        grad_message_(data<T>(tensors.grad_message)),
        grad_alpha_(data<T>(tensors.grad_alpha)),
        d_word_(data<T>(tensors.d_word)),
        d_att_(data<T>(tensors.d_att)) {}

  const T* att(int64_t p) const { return att_ == nullptr ? nullptr : att_ + p * channels_; }

  // The factor of dropout on a weight.
  T keep(int64_t weight) const { return keep_alpha_ == nullptr ? T(1) : keep_alpha_[weight]; }

  // The gradient of a message before dropout, from that after it and that of messages handed out;
  // `row` is the message's.
  void sent_backward(int64_t row, const T* d_message, T* d_sent) const {
    const int64_t from = row * shape_.heard;
    for (int64_t e = 0; e < shape_.heard; ++e) {
      const T given = grad_message_ == nullptr ? T(0) : grad_message_[from + e];
      d_sent[e] =
          (d_message[e] + given) * (keep_message_ == nullptr ? T(1) : keep_message_[from + e]);
    }
  }

  const Shape shape_;
  const int64_t count_;  // of senders, or of a box's positions
  const int64_t heads_, channels_, spoken_;
  const bool* mask_;
  const T *word_, *att_, *fixed_;
  T *message_, *alpha_;
  const T *keep_message_, *keep_alpha_, *grad_message_, *grad_alpha_;
  T *d_word_, *d_att_;
};

}  // namespace mtgnn
