// Products with matrices in bfloat16, where the processor multiplies these: rows are rounded to it on
// the way, sums stay in float32.

#pragma once

#include <cstdint>
#include <cstring>
#include <type_traits>
#include <vector>

#include "product.h"
#ifdef __AVX512BF16__
#include <immintrin.h>
#endif

namespace mtgnn {

#ifdef __AVX512BF16__

constexpr bool kHasHalf = true;

// Two values of a row side by side; a row of odd length ends with a zero.
inline void to_half(const float* from, int64_t size, uint16_t* to) {
  for (int64_t k = 0; k < size; k += 16) {
    const int64_t left = size - k;
    const __mmask16 some = left >= 16 ? 0xffff : __mmask16((1u << left) - 1);
    const auto rounded = _mm512_cvtneps_pbh(_mm512_maskz_loadu_ps(some, from + k));
    std::memcpy(to + k, &rounded, 32);
  }
}

template <int M, int V>
void half_tile(int64_t pairs, Lines<const uint16_t> a, const uint16_t* panel,
               const Lines<const float>* start, Lines<float> out, int64_t columns) {
  __m512 sums[M][V];
  const int64_t rest = columns - (V - 1) * 16;
  const __mmask16 last = rest >= 16 ? 0xffff : __mmask16((1u << rest) - 1);
#pragma GCC unroll 8
  for (int m = 0; m < M; ++m)
#pragma GCC unroll 3
    for (int v = 0; v < V; ++v) {
      const __mmask16 some = v == V - 1 ? last : 0xffff;
      sums[m][v] = start == nullptr ? _mm512_setzero_ps()
                                    : _mm512_maskz_loadu_ps(some, (*start)(m) + v * 16);
    }
  for (int64_t k = 0; k < pairs; ++k) {
    __m512bh right[V];
#pragma GCC unroll 3
    for (int v = 0; v < V; ++v)
      right[v] = (__m512bh)_mm512_loadu_si512(panel + 2 * (k * kPanel<float> + v * 16));
#pragma GCC unroll 8
    for (int m = 0; m < M; ++m) {
      int32_t pair;
      std::memcpy(&pair, a(m) + 2 * k, 4);
      const auto left = (__m512bh)_mm512_set1_epi32(pair);
#pragma GCC unroll 3
      for (int v = 0; v < V; ++v) sums[m][v] = _mm512_dpbf16_ps(sums[m][v], left, right[v]);
    }
  }
#pragma GCC unroll 8
  for (int m = 0; m < M; ++m)
#pragma GCC unroll 3
    for (int v = 0; v < V; ++v)
      _mm512_mask_storeu_ps(out(m) + v * 16, v == V - 1 ? last : 0xffff, sums[m][v]);
}

using HalfTile = void (*)(int64_t, Lines<const uint16_t>, const uint16_t*,
                          const Lines<const float>*, Lines<float>, int64_t);

template <int... I>
constexpr std::array<HalfTile, kRows * kVectors> half_tiles(std::integer_sequence<int, I...>) {
  return {half_tile<I / kVectors + 1, I % kVectors + 1>...};
}

// As multiply, with the panels [depth / 2, kPanel, 2] of a matrix in bfloat16.
inline void multiply_half(int64_t rows, Lines<const float> a, const uint16_t* panels,
                          int64_t panel_size, int64_t all_columns, int64_t depth,
                          const Lines<const float>* start, Lines<float> out) {
  static constexpr auto kTiles = half_tiles(std::make_integer_sequence<int, kRows * kVectors>());
  const int64_t stride = (depth + 15) / 16 * 16;
  thread_local std::vector<uint16_t> room;
  room.resize(std::max<size_t>(room.size(), rows * stride));
  for (int64_t row = 0; row < rows; ++row) to_half(a(row), depth, room.data() + row * stride);
  for (int64_t column = 0; column < all_columns; column += kPanel<float>, panels += panel_size) {
    const int64_t columns = std::min(kPanel<float>, all_columns - column);
    const int64_t vectors = (columns + 15) / 16;
    for (int64_t row = 0; row < rows; row += kRows) {
      const int64_t count = std::min<int64_t>(kRows, rows - row);
      Lines<const float> from{};
      if (start != nullptr) from = {(*start)(row) + column, start->stride};
      kTiles[(count - 1) * kVectors + vectors - 1](
          (depth + 1) / 2, {room.data() + row * stride, stride}, panels,
          start == nullptr ? nullptr : &from, {out(row) + column, out.stride}, columns);
    }
  }
}

#else

constexpr bool kHasHalf = false;

#endif

// out = start + a · matrix for some rows; start may be out, or null for zeros. `depth` may be less
// than the matrix has: then only its first rows count.
template <typename T>
void multiply(int64_t rows, Lines<const T> a, const Packed<T>& matrix, int64_t block, int64_t depth,
              const Lines<const T>* start, Lines<T> out) {
#ifdef __AVX512BF16__
  if constexpr (std::is_same_v<T, float>) {
    if (matrix.half != nullptr) {
      const int64_t panel_size = matrix.depth * kPanel<T>;
      multiply_half(rows, a, matrix.half + block * matrix.stride, panel_size, matrix.columns, depth,
                    start, out);
      return;
    }
  }
#endif
  static constexpr auto kTiles = tiles<T>(std::make_integer_sequence<int, kRows * kVectors>());
  const T* panel = matrix.of(block);
  for (int64_t column = 0; column < matrix.columns; column += kPanel<T>) {
    const int64_t columns = std::min(kPanel<T>, matrix.columns - column);
    const int64_t vectors = (columns + Vector<T>::kSize - 1) / Vector<T>::kSize;
    for (int64_t row = 0; row < rows; row += kRows) {
      const int64_t count = std::min<int64_t>(kRows, rows - row);
      Lines<const T> from{};
      if (start != nullptr) from = {(*start)(row) + column, start->stride};
      kTiles[(count - 1) * kVectors + vectors - 1](
          depth, {a(row), a.stride}, panel, start == nullptr ? nullptr : &from,
          {out(row) + column, out.stride}, columns);
    }
    panel += matrix.depth * kPanel<T>;
  }
}

}  // namespace mtgnn
