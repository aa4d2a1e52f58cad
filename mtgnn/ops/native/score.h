// Weights of one receiver's senders by additive or dot scores, and their gradients.
//
// Additive scores are u·σ(q + k); see score.py for why that is enough. `key(j)` is the key of
// sender j, `heard` says who is one.

#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>

#include "cell.h"
#include "product.h"

namespace mtgnn {

// σ(q + k) = 1 / (1 + e^−q e^−k). With the exponentials of all queries and keys taken beforehand, a
// pair costs none. That is exact as long as neither exponential leaves its type's range.
template <typename T>
constexpr T kMost = T(40);

// Turns x into e^−x, unless one of them is too large (or NaN): then nothing changes.
template <typename T>
bool exponentiate(const T* x, int64_t count, T* out) {
  bool fits = true;
#pragma omp simd reduction(& : fits)
  for (int64_t i = 0; i < count; ++i) fits &= std::abs(x[i]) <= kMost<T>;
  if (!fits) return false;
#pragma omp simd
  for (int64_t i = 0; i < count; ++i) out[i] = std::exp(-x[i]);
  return true;
}

struct OfSums {
  template <typename T>
  T operator()(T query, T key) const {
    return sigmoid(query + key);
  }
};

struct OfExponentials {
  template <typename T>
  T operator()(T query, T key) const {
    return T(1) / (T(1) + query * key);
  }
};

template <typename T, typename Bend>
inline T bent_sum(const T* __restrict__ query, const T* __restrict__ key, const T* __restrict__ att,
                  int64_t size, Bend bend) {
  T sum = 0;
#pragma omp simd reduction(+ : sum)
  for (int64_t a = 0; a < size; ++a) sum += att[a] * bend(query[a], key[a]);
  return sum;
}

// Softmax over the senders; zeros where there is none. `att` is null for dot scores.
template <typename T, typename Key, typename Bend>
void weigh(int64_t count, const bool* heard, const T* query, Key key, const T* att, int64_t size,
           Bend bend, T* __restrict__ alpha) {
  T most = std::numeric_limits<T>::lowest(), sum = 0;
  for (int64_t j = 0; j < count; ++j) {
    if (!heard[j]) continue;
    alpha[j] = att == nullptr ? inner(query, key(j), size) : bent_sum(query, key(j), att, size, bend);
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

// Turns the gradient of the weights into that of the scores.
template <typename T>
void weigh_backward(int64_t count, const T* __restrict__ alpha, T* __restrict__ d_alpha) {
  const T mean = inner(alpha, d_alpha, count);
  for (int64_t j = 0; j < count; ++j) d_alpha[j] = alpha[j] * (d_alpha[j] - mean);
}

// Adds a score's gradient to those of query, key and (additive scores) vector. Of additive scores the
// gradients of query and key are still to be multiplied by the vector: once, not for every score.
template <typename T, typename Bend>
inline void score_backward(T grad, const T* __restrict__ query, const T* __restrict__ key,
                           int64_t size, T* __restrict__ d_query, T* __restrict__ d_key,
                           T* __restrict__ d_att, Bend bend) {
  if (d_att == nullptr) {
#pragma omp simd
    for (int64_t a = 0; a < size; ++a) {
      d_query[a] += grad * key[a];
      d_key[a] += grad * query[a];
    }
    return;
  }
#pragma omp simd
  for (int64_t a = 0; a < size; ++a) {
    const T bent = bend(query[a], key[a]);
    const T much = grad * bent, back = much * (T(1) - bent);
    d_att[a] += much;
    d_query[a] += back;
    d_key[a] += back;
  }
}

}  // namespace mtgnn
