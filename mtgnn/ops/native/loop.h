// The loop over words: steps of all nodes, forward and back.
//
// Slots (a node's run on a sequence) are shared out among torch's threads for several steps at once,
// so threads need not wait for each other at every step. Where nodes hear each other at every step,
// a thread has all nodes of some sequences (a column); else it has all columns of some blocks where
// that is fair, since then each weight is read by one thread only, and takes one block after another.

#pragma once

#include <torch/extension.h>

#include <ATen/Parallel.h>

#include <algorithm>
#include <memory>
#include <optional>
#include <vector>

#include "cell.h"
#include "half.h"
#include "product.h"

namespace mtgnn {

using at::Tensor;
using Given = std::optional<Tensor>;

// Contiguous memory of a tensor; null where there is none.
template <typename T>
T* data(const Given& tensor) {
  if (!tensor.has_value()) return nullptr;
  TORCH_CHECK(tensor->is_contiguous() && tensor->is_cpu(), "expected contiguous tensors on a CPU");
  return const_cast<T*>(tensor->const_data_ptr<T>());
}

template <typename T>
T* data(const Tensor& tensor) {
  return data<T>(Given(tensor));
}

// [blocks, panels, depth, kPanel], see product.h; in bfloat16 [blocks, panels, depth / 2, kPanel, 2].
template <typename T>
Packed<T> packed(const Given& tensor, int64_t columns) {
  if (!tensor.has_value()) return {};
  if (tensor->scalar_type() == at::kBFloat16) {
    TORCH_CHECK(kHasHalf && tensor->dim() == 5 && tensor->size(3) == kPanel<T> &&
                    tensor->size(1) == (columns + kPanel<T> - 1) / kPanel<T> &&
                    tensor->is_contiguous(),
                "not a packed matrix of ", columns, " columns: ", tensor->sizes());
    const auto* half = reinterpret_cast<const uint16_t*>(tensor->const_data_ptr<at::BFloat16>());
    return {nullptr, half, 2 * tensor->size(2), columns, tensor->stride(0)};
  }
  TORCH_CHECK(tensor->dim() == 4 && tensor->size(3) == kPanel<T> &&
                  tensor->size(1) == (columns + kPanel<T> - 1) / kPanel<T>,
              "not a packed matrix of ", columns, " columns: ", tensor->sizes());
  return {data<T>(*tensor), nullptr, tensor->size(2), columns, tensor->stride(0)};
}

struct Step {
  int64_t blocks, width, start;
};

struct Shape {
  int64_t blocks, width, hidden, heard;  // G, places in a block, H, C
  std::vector<Step> steps;
  std::vector<int64_t> lengths;  // of each slot; 0: a place without a sequence
};

// Some slots: the columns `begin` to `end` of every `stride`th block from `first` on. Of one thread's
// parts `index` is the same.
struct Part {
  int64_t index, first, stride, begin, end;
  int64_t columns(const Step& step) const { return std::min(end, step.width) - begin; }
};

// States `[blocks, width, H]` of which the first blocks and places are looked at.
template <typename T>
struct States {
  T* operator()(int64_t block, int64_t place) const {
    return data + block * by_block + place * by_place;
  }
  Lines<T> lines(int64_t block, int64_t place) const { return {(*this)(block, place), by_place}; }
  Lines<T> blocks(int64_t place) const { return {(*this)(0, place), by_block}; }
  T* data;
  int64_t by_block, by_place;
};

// What slots hear. A part's calls come step after step, from one thread; parts come at once.
template <typename T>
class Talk {
 public:
  virtual ~Talk() = default;
  virtual bool joins_blocks() const = 0;  // whether a column's blocks must be in one part
  virtual void forward(int64_t t, const Part& part, const States<const T>& before) = 0;
  virtual Lines<const T> message(int64_t t, int64_t block, int64_t place) const = 0;
  // Before and after the calls of all parts: each sums by itself what they add to shared gradients, and
  // the sums are added in order, so that a gradient does not depend on who was first.
  virtual void begin_backward(int64_t parts) = 0;
  virtual void end_backward() = 0;
  // `carry` is [H + C] a slot: the message's gradient is read, the states' is added to. Gradients of
  // queries (and keys) go to `d_asked` [G, columns, *], for products over many steps.
  virtual void backward(int64_t t, const Part& part, const States<const T>& before,
                        const States<T>& carry, const States<T>& d_asked) = 0;
};

// Sums of parts, each [size], that are added to a total in order.
template <typename T>
class Sums {
 public:
  void begin(int64_t parts, int64_t size) { size_ = size, values_.assign(parts * size, T(0)); }
  T* of(const Part& part) { return values_.data() + part.index * size_; }
  void add_to(T* total) const {
    for (size_t i = 0; i < values_.size(); ++i) total[i % size_] += values_[i];
  }

 private:
  std::vector<T> values_;
  int64_t size_ = 0;
};

template <typename T>
class Loop {
 public:
  Loop(Shape shape, const Tensor& h, const Tensor& c, const Tensor& hs, const Tensor& cs,
       const Given& gates, std::shared_ptr<Talk<T>> talk)
      : shape_(std::move(shape)),
        talk_(std::move(talk)),
        h_(data<T>(h)),
        c_(data<T>(c)),
        hs_(data<T>(hs)),
        cs_(data<T>(cs)),
        gates_(data<T>(gates)) {}

  // Steps first to last − 1. `projected` [G, columns, 4H] holds what words add to the gates; step
  // first + i begins at columns[i].
  void forward(int64_t first, int64_t last, const Tensor& projected,
               const std::vector<int64_t>& columns, const Tensor& state, const Given& message) {
    const int64_t size = shape_.hidden;
    const auto w_state = packed<T>(state, 4 * size), w_message = packed<T>(message, 4 * size);
    const States<const T> words{data<T>(projected), projected.stride(0), 4 * size};
    in_parts(first, [&](const Part& part) {
      const bool learns = gates_ != nullptr;  // else cells lie as those at the start do
      std::vector<T> room(learns ? 0 : (part.end - part.begin) * 4 * size + size);
      for (int64_t t = first; t < last; ++t) {
        const Step& step = shape_.steps[t];
        const int64_t count = part.columns(step);
        if (count <= 0) break;
        const auto before = at(hs_, h_, t - 1), cells = learns ? at(cs_, c_, t - 1) : at(cs_, cs_, -1);
        if (talk_) talk_->forward(t, part, before);
        for (int64_t block = part.first; block < step.blocks; block += part.stride) {
          const int64_t token = step.start + block * step.width + part.begin;
          const Lines<T> gate{learns ? gates_ + token * 4 * size : room.data() + size, 4 * size};
          const auto word = words.lines(block, columns[t - first] + part.begin);
          const auto held = const_lines(gate);
          multiply(count, before.lines(block, part.begin), w_state, block, size, &word, gate);
          if (talk_)
            multiply(count, talk_->message(t, block, part.begin), w_message, block, shape_.heard,
                     &held, gate);
          for (int64_t row = 0; row < count; ++row) {
            const int64_t slot = block * shape_.width + part.begin + row;
            T* cell = cs_ + (learns ? token + row : slot) * size;
            if (!learns && t >= shape_.lengths[slot]) cell = room.data();  // a filler's
            cell_forward(gate(row), cells(block, part.begin + row), cell,
                         hs_ + (token + row) * size, size);
          }
        }
      }
    });
  }

  // Back from step last − 1 to first. `carry` [G, width, H + C] and `d_cells` [G, width, H] hold
  // what comes back to states, messages and cells; gradients of gates go to `d_gates`, alike
  // `projected`, those of queries and keys to `spoken`. What tokens had received, states and messages,
  // is copied to `heard` [G, columns, H + C]: for products over many steps.
  void backward(int64_t first, int64_t last, const std::vector<int64_t>& columns,
                const Tensor& received, const Given& grad_hs, const Given& grad_end,
                const Tensor& carry, const Tensor& d_cells, const Tensor& d_gates,
                const Tensor& heard, const Given& spoken) {
    const int64_t size = shape_.hidden, sum = size + shape_.heard;
    const auto w_received = packed<T>(received, sum);
    const T *d_hs = data<T>(grad_hs), *d_end = data<T>(grad_end);
    const States<T> back{data<T>(carry), shape_.width * sum, sum};
    const States<T> d_cell{data<T>(d_cells), shape_.width * size, size};
    const States<T> d_gate{data<T>(d_gates), d_gates.stride(0), 4 * size};
    const States<T> copies{data<T>(heard), heard.stride(0), sum};
    if (talk_) talk_->begin_backward(at::get_num_threads());
    in_parts(first, [&](const Part& part) {
      for (int64_t t = last - 1; t >= first; --t) {
        const Step& step = shape_.steps[t];
        const int64_t count = part.columns(step), column = columns[t - first];
        if (count <= 0) continue;
        const auto before = at(hs_, h_, t - 1), cells = at(cs_, c_, t - 1);
        for (int64_t block = part.first; block < step.blocks; block += part.stride) {
          for (int64_t place = part.begin; place < part.begin + count; ++place) {
            const int64_t token = step.start + block * step.width + place;
            if (d_hs != nullptr) add_scaled(back(block, place), T(1), d_hs + token * size, size);
            const int64_t slot = block * shape_.width + place;
            if (d_end != nullptr && t + 1 == shape_.lengths[slot])
              add_scaled(d_cell(block, place), T(1), d_end + slot * size, size);
            cell_backward(gates_ + token * 4 * size, cells(block, place), cs_ + token * size,
                          back(block, place), d_cell(block, place), d_gate(block, column + place),
                          size);
            std::copy_n(before(block, place), size, copies(block, column + place));
          }
          multiply<T>(count, const_lines(d_gate.lines(block, column + part.begin)), w_received, block,
                      4 * size, nullptr, back.lines(block, part.begin));
        }
        if (!talk_) continue;
        States<T> here{};
        if (spoken.has_value())
          here = {data<T>(spoken) + column * spoken->size(2), spoken->stride(0), spoken->size(2)};
        talk_->backward(t, part, before, back, here);
        for (int64_t block = part.first; block < step.blocks; block += part.stride)
          for (int64_t place = part.begin; place < part.begin + count; ++place)
            std::copy_n(talk_->message(t, block, place).data, shape_.heard,
                        copies(block, column + place) + size);
      }
    });
    if (talk_) talk_->end_backward();
  }

 private:
  static Lines<const T> const_lines(Lines<T> lines) { return {lines.data, lines.stride}; }

  // States after step t, or those at the start.
  States<const T> at(const T* packed, const T* start, int64_t t) const {
    const int64_t size = shape_.hidden;
    if (t < 0) return {start, shape_.width * size, size};
    const Step& step = shape_.steps[t];
    return {packed + step.start * size, step.width * size, size};
  }

  template <typename F>
  void in_parts(int64_t first, F work) const {
    const Step& step = shape_.steps[first];
    const int64_t threads = at::get_num_threads();
    const int64_t rounds = (step.blocks + threads - 1) / threads;
    const bool joined = talk_ && talk_->joins_blocks();
    const bool by_block = !joined &&
                          (10 * rounds * threads <= 11 * step.blocks || step.width < threads);
    at::parallel_for(0, threads, 1, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        const int64_t left = by_block ? 0 : i * step.width / threads;
        const int64_t right = by_block ? step.width : (i + 1) * step.width / threads;
        if (joined) {
          work(Part{i, 0, 1, left, right});
          continue;
        }
        // Block by block: a weight stays in the cache for several steps.
        for (int64_t block = by_block ? i : 0; block < step.blocks; block += by_block ? threads : 1)
          work(Part{i, block, shape_.blocks, left, right});
      }
    });
  }

  Shape shape_;
  std::shared_ptr<Talk<T>> talk_;
  const T *h_, *c_;
  T *hs_, *cs_, *gates_;
};

}  // namespace mtgnn
