// The causal depthwise convolution, forward and backward, with SiLU. A task is a vector of channels of one image, whose
// positions are the rows of a tile; a few rows before it are carried along.
#include "activations.h"
#include "native.h"
#include "parallel.h"
#include "tiles.h"

namespace native::causal {
namespace {

using simd::kLanes;
using simd::load;
using simd::store;
using simd::Vec;

constexpr int kWidest = 4, kTile = 64;

template <typename T>
using Optional = std::optional<Array<const T>>;

// The channels of one task.
struct Part {
  int b, first, count;

  Part(int task, int vectors, int channels, int lanes)
      : b(task / vectors), first(task % vectors * lanes), count(std::min(lanes, channels - first)) {}

  template <typename T>
  simd::Strip<T> strip(const Array<T>& a) const {
    return {a.data() + b * a.stride(0) + first * a.stride(1), a.stride(1), a.stride(2), count};
  }
};

template <typename T>
struct Filter {
  Vec<T> taps[kWidest] = {}, bias = {};

  Filter(const Array<const T>& weight, const Optional<T>& bias_array, const Part& part) {
    for (int lane = 0; lane < part.count; ++lane) {
      for (int k = 0; k < static_cast<int>(weight.shape(1)); ++k) {
        taps[k][lane] = weight.data()[(part.first + lane) * weight.stride(0) + k * weight.stride(1)];
      }
      if (bias_array) bias[lane] = bias_array->data()[(part.first + lane) * bias_array->stride(0)];
    }
  }

  // The convolution at the row whose last input is `row`.
  template <int Width>
  Vec<T> at(const T* row) const {
    Vec<T> sum = bias;
    for (int k = 0; k < Width; ++k) sum += taps[k] * load(row + (k + 1 - Width) * kLanes<T>);
    return sum;
  }
};

template <typename T, int Width>
void convolve(const Filter<T>& filter, const simd::Strip<const T>& from, const simd::Strip<T>& to, int positions,
              bool silu) {
  constexpr int lanes = kLanes<T>, before = (Width - 1) * lanes;
  alignas(64) T rows[(kWidest - 1 + kTile) * lanes] = {}, out[kTile * lanes];
  for (int start = 0; start < positions; start += kTile) {
    const int length = std::min(kTile, positions - start);
    simd::read_tile<T>(from.from(start), length, rows + before);
    for (int l = 0; l < length; ++l) {
      const Vec<T> sum = filter.template at<Width>(rows + before + l * lanes);
      store(out + l * lanes, silu ? simd::silu<T>(sum) : sum);
    }
    simd::write_tile<T>(out, length, to.from(start));
    std::memmove(rows, rows + length * lanes, before * sizeof(T));
  }
}

// The same along a row with unit steps, where vectors are of positions.
template <typename T, int Width>
void convolve_row(const T* weight, std::ptrdiff_t tap, T bias, const T* from, T* to, int positions, bool silu) {
  constexpr int lanes = kLanes<T>;
  Vec<T> taps[Width];
  for (int k = 0; k < Width; ++k) taps[k] = Vec<T>{} + weight[k * tap];
  for (int start = 0; start < positions; start += lanes) {
    const int length = std::min(lanes, positions - start), history = std::min(Width - 1, start);
    const bool whole = length == lanes && history == Width - 1;
    T row[Width - 1 + lanes], out[lanes];
    if (!whole) {
      std::fill_n(row, Width - 1 + lanes, T(0));
      std::copy_n(from + start - history, history + length, row + Width - 1 - history);
    }
    const T* const first = whole ? from + start - history : row;
    Vec<T> sum = Vec<T>{} + bias;
    for (int k = 0; k < Width; ++k) sum += taps[k] * load(first + k);
    sum = silu ? simd::silu<T>(sum) : sum;
    if (length == lanes) {
      store(to + start, sum);
    } else {
      store(out, sum);
      std::copy_n(out, length, to + start);
    }
  }
}

// From the last tile to the first: the gradient before SiLU of the rows after a tile is carried along.
template <typename T, int Width>
void pull(const Filter<T>& filter, const simd::Strip<const T>& grad, const simd::Strip<const T>& x,
          const simd::Strip<T>& to_x, Vec<T>* of_taps, Vec<T>& of_bias, int positions, bool silu) {
  constexpr int lanes = kLanes<T>, before = (Width - 1) * lanes;
  alignas(64) T rows[(kWidest - 1 + kTile) * lanes] = {}, flow[(kTile + kWidest - 1) * lanes] = {};
  for (int start = (positions - 1) / kTile * kTile; start >= 0; start -= kTile) {
    const int length = std::min(kTile, positions - start), history = std::min(Width - 1, start);
    std::memset(rows, 0, before * sizeof(T));
    simd::read_tile<T>(x.from(start - history), length + history, rows + before - history * lanes);
    simd::read_tile<T>(grad.from(start), length, flow);
    for (int l = 0; l < length; ++l) {
      const T* const row = rows + before + l * lanes;
      Vec<T> of_sum = load(flow + l * lanes);
      if (silu) {
        const Vec<T> sum = filter.template at<Width>(row);
        of_sum *= simd::silu_slope<T>(sum, simd::sigmoid<T>(sum));
        store(flow + l * lanes, of_sum);
      }
      of_bias += of_sum;
      for (int k = 0; k < Width; ++k) of_taps[k] += of_sum * load(row + (k + 1 - Width) * lanes);
    }
    for (int l = 0; l < length; ++l) {
      Vec<T> of_x = {};
      for (int k = 0; k < Width; ++k) of_x += filter.taps[k] * load(flow + (l + Width - 1 - k) * lanes);
      store(rows + l * lanes, of_x);
    }
    simd::write_tile<T>(rows, length, to_x.from(start));
    std::memmove(flow + kTile * lanes, flow, before * sizeof(T));
  }
}

template <typename T>
void forward(const Array<const T>& x, const Array<const T>& weight, const Optional<T>& bias, const Array<T>& out,
             bool silu, int threads) {
  const int channels = x.shape(1), vectors = (channels + kLanes<T> - 1) / kLanes<T>;
  parallel::run(static_cast<int>(x.shape(0)) * vectors, threads, [&](int task, int) {
    const Part part(task, vectors, channels, kLanes<T>);
    const simd::Strip<const T> from = part.strip(x);
    const simd::Strip<T> to = part.strip(out);
    simd::with_constant<kWidest>(weight.shape(1), [&](auto width) {
      if (from.position != 1 || to.position != 1) {
        convolve<T, width>({weight, bias, part}, from, to, x.shape(2), silu);
        return;
      }
      for (int c = 0; c < part.count; ++c) {
        const T* const taps = weight.data() + (part.first + c) * weight.stride(0);
        const T shift = bias ? bias->data()[(part.first + c) * bias->stride(0)] : T(0);
        convolve_row<T, width>(taps, weight.stride(1), shift, from.data + c * from.channel, to.data + c * to.channel,
                               x.shape(2), silu);
      }
    });
  });
}

// grad_weight (B, D, W) and grad_bias (B, D) are apart for each image.
template <typename T>
void backward(const Array<const T>& grad, const Array<const T>& x, const Array<const T>& weight,
              const Optional<T>& bias, const Array<T>& grad_x, const Array<T>& grad_weight, const Array<T>& grad_bias,
              bool silu, int threads) {
  const int channels = x.shape(1), vectors = (channels + kLanes<T> - 1) / kLanes<T>;
  parallel::run(static_cast<int>(x.shape(0)) * vectors, threads, [&](int task, int) {
    const Part part(task, vectors, channels, kLanes<T>);
    Vec<T> of_taps[kWidest] = {}, of_bias = {};
    simd::with_constant<kWidest>(weight.shape(1), [&](auto width) {
      pull<T, width>({weight, bias, part}, part.strip(grad), part.strip(x), part.strip(grad_x), of_taps, of_bias,
                     x.shape(2), silu);
    });
    for (int lane = 0; lane < part.count; ++lane) {
      const std::ptrdiff_t channel = static_cast<std::ptrdiff_t>(part.b) * channels + part.first + lane;
      for (int k = 0; k < static_cast<int>(weight.shape(1)); ++k) {
        grad_weight.data()[channel * weight.shape(1) + k] = of_taps[k][lane];
      }
      grad_bias.data()[channel] = of_bias[lane];
    }
  });
}

template <typename T>
void bind_dtype(nb::module_& m) {
  using namespace nb::literals;
  const auto release = nb::call_guard<nb::gil_scoped_release>();
  m.def("causal_conv1d_forward", &forward<T>, "x"_a.noconvert(), "weight"_a.noconvert(), "bias"_a.noconvert().none(),
        "out"_a.noconvert(), "silu"_a, "threads"_a, release);
  m.def("causal_conv1d_backward", &backward<T>, "grad"_a.noconvert(), "x"_a.noconvert(), "weight"_a.noconvert(),
        "bias"_a.noconvert().none(), "grad_x"_a.noconvert(), "grad_weight"_a.noconvert(), "grad_bias"_a.noconvert(),
        "silu"_a, "threads"_a, release);
}

void bind(nb::module_& m) {
  bind_dtype<float>(m);
  bind_dtype<double>(m);
}

NATIVE_OPERATOR(bind);

}  // namespace
}  // namespace native::causal
