// A gate before another communication: gate.py. What comes from it, r, is heard as σ(W [h; r] + b) ⊙ r.

#pragma once

#include <memory>

#include "loop.h"

namespace mtgnn {

// `message`, `opened` and what is like them lie as the messages of the other communication do.
struct GateTensors {
  Tensor received;               // the other's messages
  Given state, other, back;      // W, packed [G, H, C] and [G, C, C]; for the way back [G, C, H + C]
  Tensor bias;                   // [G, C]
  Tensor message, opened;
  Given keep_message, grad_message;
  int64_t spoken;  // width of what the other hands over for products over many steps
};

template <typename T>
class Gate : public Talk<T> {
 public:
  Gate(const Shape& shape, GateTensors tensors, std::shared_ptr<Talk<T>> other)
      : shape_(shape),
        tensors_(std::move(tensors)),
        other_(std::move(other)),
        received_(data<T>(tensors_.received)),
        state_(packed<T>(tensors_.state, shape.heard)),
        from_(packed<T>(tensors_.other, shape.heard)),
        back_(packed<T>(tensors_.back, shape.hidden + shape.heard)),
        bias_(data<T>(tensors_.bias)),
        message_(data<T>(tensors_.message)),
        opened_(data<T>(tensors_.opened)),
        keep_message_(data<T>(tensors_.keep_message)),
        grad_message_(data<T>(tensors_.grad_message)) {}

  bool joins_blocks() const override { return other_->joins_blocks(); }

  Lines<const T> message(int64_t t, int64_t block, int64_t place) const override {
    const auto from = other_->message(t, block, place);
    return {message_ + (from.data - received_), from.stride};
  }

  void forward(int64_t t, const Part& part, const States<const T>& before) override {
    other_->forward(t, part, before);
    const Step& step = shape_.steps[t];
    const int64_t count = part.columns(step), heard = shape_.heard;
    for (int64_t block = part.first; block < step.blocks; block += part.stride) {
      const auto from = other_->message(t, block, part.begin);
      const Lines<T> open{opened_ + (from.data - received_), from.stride};
      const Lines<const T> bias{bias_ + block * heard, 0}, held{open.data, open.stride};
      multiply(count, before.lines(block, part.begin), state_, block, shape_.hidden, &bias, open);
      multiply(count, from, from_, block, heard, &held, open);
      for (int64_t row = 0; row < count; ++row) {
        const int64_t at = open(row) - opened_;
        T* opened = open(row);
        for (int64_t e = 0; e < heard; ++e) {
          opened[e] = sigmoid(opened[e]);
          message_[at + e] = keep(at + e) * opened[e] * from(row)[e];
        }
      }
    }
  }

  void begin_backward(int64_t parts) override { other_->begin_backward(parts); }
  void end_backward() override { other_->end_backward(); }

  // `d_asked` has what the other asks, then the gradient of the gates before their function, and the
  // other's message.
  void backward(int64_t t, const Part& part, const States<const T>& before, const States<T>& carry,
                const States<T>& d_asked) override {
    const Step& step = shape_.steps[t];
    const int64_t count = part.columns(step), heard = shape_.heard;
    for (int64_t block = part.first; block < step.blocks; block += part.stride) {
      const auto from = other_->message(t, block, part.begin);
      for (int64_t row = 0; row < count; ++row) {
        const int64_t at = from(row) - received_;
        T* d_message = carry(block, part.begin + row) + shape_.hidden;
        T* d_opened = d_asked(block, part.begin + row) + tensors_.spoken;
        for (int64_t e = 0; e < heard; ++e) {
          const T given = grad_message_ == nullptr ? T(0) : grad_message_[at + e];
          const T d = keep(at + e) * (d_message[e] + given), open = opened_[at + e];
          d_opened[e] = d * from(row)[e] * open * (T(1) - open);
          d_opened[heard + e] = from(row)[e];
          d_message[e] = d * open;
        }
      }
      const auto back = carry.lines(block, part.begin);
      const Lines<const T> start{back.data, back.stride};
      multiply<T>(count, {d_asked(block, part.begin) + tensors_.spoken, d_asked.by_place}, back_, block, heard,
                  &start, back);
    }
    other_->backward(t, part, before, carry, d_asked);
  }

 private:
  T keep(int64_t at) const { return keep_message_ == nullptr ? T(1) : keep_message_[at]; }

  const Shape shape_;
  const GateTensors tensors_;  // they own what the pointers point to
  const std::shared_ptr<Talk<T>> other_;
  const T* received_;
  const Packed<T> state_, from_, back_;
  const T* bias_;
  T *message_, *opened_;
  const T *keep_message_, *grad_message_;
};

}  // namespace mtgnn
