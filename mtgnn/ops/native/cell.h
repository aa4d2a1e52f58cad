// The pointwise part of an LSTM step, forward and back; gate order i, f, g, o.

#pragma once

#include <cmath>
#include <cstdint>

namespace mtgnn {

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

// Turns the gates before their functions into those after. Cells may go where those before are.
template <typename T>
void cell_forward(T* __restrict__ gate, const T* before, T* cell, T* __restrict__ state,
                  int64_t size) {
#pragma omp simd
  for (int64_t e = 0; e < size; ++e) {
    const T i = sigmoid(gate[e]), f = sigmoid(gate[size + e]);
    const T g = bend(gate[2 * size + e]), o = sigmoid(gate[3 * size + e]);
    const T now = f * before[e] + i * g;
    gate[e] = i, gate[size + e] = f, gate[2 * size + e] = g, gate[3 * size + e] = o;
    cell[e] = now;
    state[e] = o * bend(now);
  }
}

// Turns the gradient of the cells into that of the cells before.
template <typename T>
void cell_backward(const T* __restrict__ gate, const T* __restrict__ before,
                   const T* __restrict__ cell, const T* __restrict__ d_state,
                   T* __restrict__ d_cell, T* __restrict__ d_gate, int64_t size) {
#pragma omp simd
  for (int64_t e = 0; e < size; ++e) {
    const T i = gate[e], f = gate[size + e], g = gate[2 * size + e], o = gate[3 * size + e];
    const T bent = bend(cell[e]);
    const T d = d_cell[e] + d_state[e] * o * (T(1) - bent * bent);
    d_gate[e] = d * g * i * (T(1) - i);
    d_gate[size + e] = d * before[e] * f * (T(1) - f);
    d_gate[2 * size + e] = d * i * (T(1) - g * g);
    d_gate[3 * size + e] = d_state[e] * bent * o * (T(1) - o);
    d_cell[e] = d * f;
  }
}

}  // namespace mtgnn
