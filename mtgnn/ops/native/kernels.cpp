// The inner loops of the fast path, each in one pass over memory: the pointwise part of an LSTM step
// and additive scores with their softmax. Python's side, with shapes, is __init__.py.
//
// Tensors are on the CPU, of one floating type, and contiguous in their last dimension; the others
// may have any stride. Rows are independent, so they are shared out among torch's threads.

#include <torch/extension.h>

#include <ATen/Parallel.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <mutex>
#include <vector>

namespace {

using at::Tensor;

constexpr int64_t kElementsPerThread = 1 << 14;

// exp of anything below this is zero in float, and nothing that a softmax or a sigmoid would miss.
template <typename T>
constexpr T kLeast = T(-80);

template <typename T>
inline T sigmoid(T x) {  // comparisons as they stand let NaN through
  x = x < kLeast<T> ? kLeast<T> : (x > -kLeast<T> ? -kLeast<T> : x);
  return T(1) / (T(1) + std::exp(-x));
}

template <typename T>
inline T bend(T x) {  // tanh
  return T(2) * sigmoid(T(2) * x) - T(1);
}

// A tensor of three dimensions, the last of which is contiguous. Dimensions of size 1 broadcast.
template <typename T>
struct Rows {
  explicit Rows(const Tensor& tensor)
      : data(const_cast<T*>(tensor.const_data_ptr<T>())),
        first(tensor.size(0) == 1 ? 0 : tensor.stride(0)),
        second(tensor.size(1) == 1 ? 0 : tensor.stride(1)) {}
  T* operator()(int64_t i, int64_t j) const { return data + i * first + j * second; }
  T* data;
  int64_t first, second;
};

// A tensor of these sizes, the last dimension contiguous; what is read may broadcast.
void check(const Tensor& tensor, const char* name, at::IntArrayRef sizes, bool broadcasts = false) {
  bool fits = tensor.dim() == 3 && tensor.size(2) == sizes[2] &&
              (tensor.size(2) <= 1 || tensor.stride(2) == 1);
  for (int64_t d = 0; fits && d < 2; ++d)
    fits = tensor.size(d) == sizes[d] || (broadcasts && tensor.size(d) == 1);
  TORCH_CHECK(fits, name, ": expected sizes ", sizes, " with the last dimension contiguous, got ",
              tensor.sizes(), " with strides ", tensor.strides());
}

void check_vector(const Tensor& tensor, const char* name, int64_t size) {
  TORCH_CHECK(tensor.dim() == 1 && tensor.size(0) == size && tensor.is_contiguous(), name,
              ": expected a contiguous vector of ", size, ", got ", tensor.sizes());
}

int64_t grain(int64_t elements) {
  return std::max<int64_t>(1, kElementsPerThread / std::max<int64_t>(1, elements));
}

template <typename F>
void for_rows(const Tensor& like, F work) {
  const int64_t width = like.size(1);
  at::parallel_for(0, like.size(0) * width, grain(like.size(2)), [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) work(row / width, row % width);
  });
}

// LSTM ------------------------------------------------------------------------------------------

template <typename T>
void cell_forward(const Tensor& z, const Tensor& c_before, const Tensor& c, const Tensor& h) {
  const Rows<T> gates(z), before(c_before), cells(c), states(h);
  const int64_t size = c.size(2);
  for_rows(z, [&](int64_t block, int64_t place) {
    T* __restrict__ gate = gates(block, place);
    const T* __restrict__ was = before(block, place);
    T* __restrict__ cell = cells(block, place);
    T* __restrict__ state = states(block, place);
#pragma omp simd
    for (int64_t e = 0; e < size; ++e) {
      const T i = sigmoid(gate[e]), f = sigmoid(gate[size + e]);
      const T g = bend(gate[2 * size + e]), o = sigmoid(gate[3 * size + e]);
      const T now = f * was[e] + i * g;
      gate[e] = i, gate[size + e] = f, gate[2 * size + e] = g, gate[3 * size + e] = o;
      cell[e] = now;
      state[e] = o * bend(now);
    }
  });
}

template <typename T>
void cell_backward(const Tensor& gates, const Tensor& c_before, const Tensor& c, const Tensor& dh,
                   const Tensor& dc, const Tensor& dz) {
  const Rows<T> all(gates), before(c_before), cells(c), d_states(dh), d_cells(dc), d_gates(dz);
  const int64_t size = c.size(2);
  for_rows(gates, [&](int64_t block, int64_t place) {
    const T* __restrict__ gate = all(block, place);
    const T* __restrict__ was = before(block, place);
    const T* __restrict__ cell = cells(block, place);
    const T* __restrict__ d_state = d_states(block, place);
    T* __restrict__ d_cell = d_cells(block, place);
    T* __restrict__ d_gate = d_gates(block, place);
#pragma omp simd
    for (int64_t e = 0; e < size; ++e) {
      const T i = gate[e], f = gate[size + e], g = gate[2 * size + e], o = gate[3 * size + e];
      const T bent = bend(cell[e]);
      const T d = d_cell[e] + d_state[e] * o * (T(1) - bent * bent);
      d_gate[e] = d * g * i * (T(1) - i);
      d_gate[size + e] = d * was[e] * f * (T(1) - f);
      d_gate[2 * size + e] = d * i * (T(1) - g * g);
      d_gate[3 * size + e] = d_state[e] * bent * o * (T(1) - o);
      d_cell[e] = d * f;
    }
  });
}

// Additive scores -------------------------------------------------------------------------------

template <typename T>
inline T score(const T* __restrict__ query, const T* __restrict__ key, const T* __restrict__ att,
               int64_t size) {
  T sum = 0;
#pragma omp simd reduction(+ : sum)
  for (int64_t a = 0; a < size; ++a) sum += att[a] * sigmoid(query[a] + key[a]);
  return sum;
}

template <typename T>
void scores_forward(const Tensor& query, const Tensor& keys, const Tensor& att, const Tensor& mask,
                    const Tensor& weights) {
  const Rows<T> queries(query), senders(keys), out(weights);
  const Rows<bool> there(mask);
  const T* vector = att.const_data_ptr<T>();
  const int64_t count = keys.size(1), size = att.size(0), receivers = query.size(1);
  at::parallel_for(0, query.size(0) * receivers, grain(count * size), [&](int64_t begin,
                                                                         int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      const int64_t n = row / receivers, q = row % receivers;
      T* __restrict__ alpha = out(n, q);
      const bool* heard = there(n, q);
      T most = std::numeric_limits<T>::lowest(), sum = 0;
      for (int64_t j = 0; j < count; ++j) {
        if (!heard[j]) continue;
        alpha[j] = score(queries(n, q), senders(n, j), vector, size);
        most = std::max(most, alpha[j]);
      }
      for (int64_t j = 0; j < count; ++j) {
        const T x = alpha[j] - most;
        alpha[j] = heard[j] ? std::exp(x < kLeast<T> ? kLeast<T> : x) : T(0);
        sum += alpha[j];
      }
      if (sum != T(0))
        for (int64_t j = 0; j < count; ++j) alpha[j] /= sum;
    }
  });
}

template <typename T>
void scores_backward(const Tensor& query, const Tensor& keys, const Tensor& att,
                     const Tensor& weights, const Tensor& d_weights, const Tensor& d_query,
                     const Tensor& d_keys, const Tensor& d_att) {
  const Rows<T> queries(query), senders(keys), alphas(weights), d_alphas(d_weights),
      d_queries(d_query), d_senders(d_keys);
  const T* vector = att.const_data_ptr<T>();
  const int64_t count = keys.size(1), size = att.size(0), receivers = query.size(1);
  const int64_t work = receivers * count * size;
  T* total = d_att.data_ptr<T>();
  std::mutex adding;
  at::parallel_for(0, query.size(0), grain(work), [&](int64_t begin, int64_t end) {
    std::vector<T> sums(size, T(0));
    T* __restrict__ d_vector = sums.data();
    for (int64_t n = begin; n < end; ++n) {
      for (int64_t q = 0; q < receivers; ++q) {
        const T* __restrict__ mine = queries(n, q);
        const T* __restrict__ alpha = alphas(n, q);
        const T* __restrict__ d_alpha = d_alphas(n, q);
        T* __restrict__ d_mine = d_queries(n, q);
        std::fill(d_mine, d_mine + size, T(0));
        T mean = 0;
        for (int64_t j = 0; j < count; ++j) mean += alpha[j] * d_alpha[j];
        for (int64_t j = 0; j < count; ++j) {
          const T grad = alpha[j] * (d_alpha[j] - mean);
          if (grad == T(0)) continue;
          const T* __restrict__ key = senders(n, j);
          T* __restrict__ d_key = d_senders(n, j);
#pragma omp simd
          for (int64_t a = 0; a < size; ++a) {
            const T bent = sigmoid(mine[a] + key[a]);
            const T back = grad * vector[a] * bent * (T(1) - bent);
            d_vector[a] += grad * bent;
            d_mine[a] += back;
            d_key[a] += back;
          }
        }
      }
    }
    const std::lock_guard<std::mutex> lock(adding);
    for (int64_t a = 0; a < size; ++a) total[a] += sums[a];
  });
}

}  // namespace

#define DISPATCH(LIKE, ...) AT_DISPATCH_FLOATING_TYPES((LIKE).scalar_type(), "mtgnn", [&] { __VA_ARGS__; })

PYBIND11_MODULE(TORCH_EXTENSION_NAME, module) {
  module.def("cell_forward", [](const Tensor& z, const Tensor& c_before, const Tensor& c,
                                const Tensor& h) {
    TORCH_CHECK(c.dim() == 3, "c: expected three dimensions");
    const int64_t g = c.size(0), w = c.size(1), size = c.size(2);
    check(z, "z", {g, w, 4 * size}), check(c_before, "c_before", {g, w, size});
    check(c, "c", {g, w, size}), check(h, "h", {g, w, size});
    DISPATCH(z, cell_forward<scalar_t>(z, c_before, c, h));
  });
  module.def("cell_backward", [](const Tensor& gates, const Tensor& c_before, const Tensor& c,
                                 const Tensor& dh, const Tensor& dc, const Tensor& dz) {
    TORCH_CHECK(c.dim() == 3, "c: expected three dimensions");
    const int64_t g = c.size(0), w = c.size(1), size = c.size(2);
    check(gates, "gates", {g, w, 4 * size}), check(c_before, "c_before", {g, w, size});
    check(c, "c", {g, w, size}), check(dh, "dh", {g, w, size}), check(dc, "dc", {g, w, size});
    check(dz, "dz", {g, w, 4 * size});
    DISPATCH(gates, cell_backward<scalar_t>(gates, c_before, c, dh, dc, dz));
  });
  module.def("scores_forward", [](const Tensor& query, const Tensor& keys, const Tensor& att,
                                  const Tensor& mask, const Tensor& weights) {
    TORCH_CHECK(weights.dim() == 3, "weights: expected three dimensions");
    const int64_t n = weights.size(0), q = weights.size(1), j = weights.size(2), a = att.size(0);
    check(query, "query", {n, q, a}), check(keys, "keys", {n, j, a});
    check_vector(att, "att", a), check(mask, "mask", {n, q, j}, true);
    check(weights, "weights", {n, q, j});
    DISPATCH(query, scores_forward<scalar_t>(query, keys, att, mask, weights));
  });
  module.def("scores_backward", [](const Tensor& query, const Tensor& keys, const Tensor& att,
                                   const Tensor& weights, const Tensor& d_weights,
                                   const Tensor& d_query, const Tensor& d_keys,
                                   const Tensor& d_att) {
    TORCH_CHECK(weights.dim() == 3, "weights: expected three dimensions");
    const int64_t n = weights.size(0), q = weights.size(1), j = weights.size(2), a = att.size(0);
    check(query, "query", {n, q, a}), check(keys, "keys", {n, j, a});
    check(weights, "weights", {n, q, j}), check(d_weights, "d_weights", {n, q, j});
    check(d_query, "d_query", {n, q, a}), check(d_keys, "d_keys", {n, j, a});
    check_vector(att, "att", a), check_vector(d_att, "d_att", a);
    DISPATCH(query, scores_backward<scalar_t>(query, keys, att, weights, d_weights, d_query, d_keys,
                                              d_att));
  });
}
