// Products of a few rows with a packed matrix: what every step needs many of.
//
// A library's product packs its matrix anew at every call, and wakes all threads for it. Here a
// matrix is packed once for a whole sequence (pack in build.py), and a thread multiplies its own
// rows by itself. A packed matrix [depth, columns] is a row of panels, each [depth, kPanel], the
// last one filled up with zeros.

#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>
#include <utility>

namespace mtgnn {

// Bytes of a vector, and the tile of rows × vectors that fits the registers.
#if defined(__AVX512F__)
constexpr int kBytes = 64, kRows = 8, kVectors = 3;
#elif defined(__ARM_NEON)
constexpr int kBytes = 16, kRows = 8, kVectors = 2;
#else
constexpr int kBytes = 32, kRows = 4, kVectors = 2;
#endif

template <typename T>
struct Vector {
  static constexpr int64_t kSize = kBytes / sizeof(T);
  typedef T Type __attribute__((vector_size(kBytes), aligned(alignof(T)), may_alias));
};

template <typename T>
constexpr int64_t kPanel = kVectors * Vector<T>::kSize;

// Matrices of equal size, one a block, as pack gives them.
template <typename T>
struct Packed {
  const T* of(int64_t block) const { return data + block * stride; }
  bool given() const { return data != nullptr || half != nullptr; }
  const T* data = nullptr;
  const uint16_t* half = nullptr;  // the same in bfloat16 instead, see half.h
  int64_t depth = 0, columns = 0, stride = 0;
};

// Rows of a matrix: a pointer and the distance of rows.
template <typename T>
struct Lines {
  T* operator()(int64_t row) const { return data + row * stride; }
  T* data;
  int64_t stride;
};

template <typename T, int M, int V>
void tile(int64_t depth, Lines<const T> a, const T* __restrict__ panel, const Lines<const T>* start,
          Lines<T> out, int64_t columns) {
  using Type = typename Vector<T>::Type;
  constexpr int64_t size = Vector<T>::kSize;
  Type sums[M][V];
  const bool whole = columns == V * size;
#pragma GCC unroll 8
  for (int m = 0; m < M; ++m) {
#pragma GCC unroll 3
    for (int v = 0; v < V; ++v) {
      sums[m][v] = Type{};
      if (start == nullptr) continue;
      const T* from = (*start)(m) + v * size;
      if (whole || v < V - 1)
        sums[m][v] = *reinterpret_cast<const Type*>(from);
      else
        std::memcpy(&sums[m][v], from, (columns - v * size) * sizeof(T));
    }
  }
  for (int64_t k = 0; k < depth; ++k) {
    Type right[V];
#pragma GCC unroll 3
    for (int v = 0; v < V; ++v)
      right[v] = *reinterpret_cast<const Type*>(panel + k * kPanel<T> + v * size);
#pragma GCC unroll 8
    for (int m = 0; m < M; ++m) {
      const T left = a.data[m * a.stride + k];
#pragma GCC unroll 3
      for (int v = 0; v < V; ++v) sums[m][v] += left * right[v];
    }
  }
#pragma GCC unroll 8
  for (int m = 0; m < M; ++m) {
#pragma GCC unroll 3
    for (int v = 0; v < V; ++v) {
      T* to = out(m) + v * size;
      if (whole || v < V - 1)
        *reinterpret_cast<Type*>(to) = sums[m][v];
      else
        std::memcpy(to, &sums[m][v], (columns - v * size) * sizeof(T));
    }
  }
}

template <typename T>
using Tile = void (*)(int64_t, Lines<const T>, const T*, const Lines<const T>*, Lines<T>, int64_t);

template <typename T, int... I>
constexpr std::array<Tile<T>, kRows * kVectors> tiles(std::integer_sequence<int, I...>) {
  return {tile<T, I / kVectors + 1, I % kVectors + 1>...};
}

// Σ_j weight_j · values_j, written to out.
template <typename T>
void weighted_sum(int64_t count, const T* weights, Lines<const T> values, int64_t size,
                  T* __restrict__ out) {
  using Type = typename Vector<T>::Type;
  constexpr int64_t width = Vector<T>::kSize, most = 4;
  int64_t e = 0;
  for (; e + most * width <= size; e += most * width) {
    Type sums[most] = {};
    for (int64_t j = 0; j < count; ++j)
      for (int64_t v = 0; v < most; ++v)
        sums[v] += weights[j] * *reinterpret_cast<const Type*>(values(j) + e + v * width);
    for (int64_t v = 0; v < most; ++v) *reinterpret_cast<Type*>(out + e + v * width) = sums[v];
  }
  for (; e + width <= size; e += width) {
    Type sum = {};
    for (int64_t j = 0; j < count; ++j)
      sum += weights[j] * *reinterpret_cast<const Type*>(values(j) + e);
    *reinterpret_cast<Type*>(out + e) = sum;
  }
  for (; e < size; ++e) {
    T sum = 0;
    for (int64_t j = 0; j < count; ++j) sum += weights[j] * values(j)[e];
    out[e] = sum;
  }
}

template <typename T>
inline T inner(const T* __restrict__ a, const T* __restrict__ b, int64_t size) {
  T sum = 0;
#pragma omp simd reduction(+ : sum)
  for (int64_t e = 0; e < size; ++e) sum += a[e] * b[e];
  return sum;
}

template <typename T>
inline void add_scaled(T* __restrict__ to, T scale, const T* __restrict__ from, int64_t size) {
#pragma omp simd
  for (int64_t e = 0; e < size; ++e) to[e] += scale * from[e];
}

template <typename T>
inline void multiply_by(T* __restrict__ to, const T* __restrict__ by, int64_t size) {
#pragma omp simd
  for (int64_t e = 0; e < size; ++e) to[e] *= by[e];
}

}  // namespace mtgnn
