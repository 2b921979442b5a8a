// Wave aggregation, forward and backward. A task is one row of one image; a position's channels lie side by side, in
// the tensors themselves where they do so there.
#include <vector>

#include "gelu.h"
#include "native.h"
#include "parallel.h"

namespace {

using simd::Buffer;
using simd::kLanes;
using simd::load;
using simd::padded;
using simd::store;
using simd::Vec;

// A (B, C, H, W) tensor.
template <typename T>
struct Map {
  T* data;
  int batch, channels, rows, columns;
  std::ptrdiff_t sb, sc, sy, sx;

  explicit Map(const native::Array<T>& a)
      : data(a.data()), batch(a.shape(0)), channels(a.shape(1)), rows(a.shape(2)), columns(a.shape(3)),
        sb(a.stride(0)), sc(a.stride(1)), sy(a.stride(2)), sx(a.stride(3)) {}

  T* at(int b, int y, int x) const { return data + b * sb + y * sy + x * sx; }
  bool whole() const { return sc == 1 && channels % kLanes<T> == 0; }

  // The channels at a position, in whole vectors: where they lie if that is possible, else copied to `room`.
  const T* read(int b, int y, int x, T* room) const {
    const T* from = at(b, y, x);
    if (whole()) return from;
    for (int c = 0; c < channels; ++c) room[c] = from[c * sc];
    return room;
  }

  // Where to write the channels at a position; `finish` then brings them from `room` to their place.
  T* write(int b, int y, int x, T* room) const { return whole() ? at(b, y, x) : room; }
  void finish(int b, int y, int x, const T* room) const {
    if (whole()) return;
    T* to = at(b, y, x);
    for (int c = 0; c < channels; ++c) to[c * sc] = room[c];
  }
};

// The first of the largest values; as in torch a NaN is larger than any number.
template <typename T>
int strongest(const T* x, int count) {
  int index = 0;
  T best = x[0];
  if (best != best) return 0;
  for (int i = 1; i < count; ++i) {
    if (x[i] <= best) continue;
    best = x[i], index = i;
    if (best != best) break;
  }
  return index;
}

template <typename T>
T gated(const T* theta, const T* weight, int i) {
  return weight[i] * simd::gelu<T>(Vec<T>{} + theta[i])[0];
}

// features = weight * GELU(theta) + added.
template <typename T>
void aggregate(const T* theta, const T* weight, T added, int room, T* features) {
  for (int c = 0; c < room; c += kLanes<T>)
    store(features + c, load(weight + c) * simd::gelu<T>(load(theta + c)) + added);
}

template <typename T>
void forward(native::Array<T> x_array, native::Array<T> theta_array, native::Array<T> weight_array,
             native::Array<T> wave_array, native::Array<T> out_array, int threads) {
  const Map<T> x(x_array), theta(theta_array), weight(weight_array), out(out_array);
  const T* wave = wave_array.data();
  const int room = padded<T>(theta.channels), pairs = theta.channels / 2;
  const Buffer<T> scratch(static_cast<std::size_t>(5) * room * threads);
  parallel::run(x.batch * x.rows, threads, [&](int task, int thread) {
    T* const features = scratch.data() + static_cast<std::size_t>(5) * room * thread;
    T* const rooms[] = {features + room, features + 2 * room, features + 3 * room, features + 4 * room};
    const int b = task / x.rows, y = task % x.rows;
    for (int column = 0; column < x.columns; ++column) {
      const T* from = x.read(b, y, column, rooms[0]);
      const T* t = theta.read(b, y, column, rooms[1]);
      const T* w = weight.read(b, y, column, rooms[2]);
      aggregate(t, w, gated(t, w, strongest(from, x.channels)), room, features);
      T* const to = out.write(b, y, column, rooms[3]);
      for (int j = 0; j < pairs; ++j) {
        const T real = features[2 * j], imaginary = features[2 * j + 1], cosine = wave[2 * j], sine = wave[2 * j + 1];
        to[2 * j] = real * cosine - imaginary * sine;
        to[2 * j + 1] = real * sine + imaginary * cosine;
      }
      out.finish(b, y, column, to);
    }
  });
}

template <typename T>
void backward(native::Array<T> grad_array, native::Array<T> x_array, native::Array<T> theta_array,
              native::Array<T> weight_array, native::Array<T> wave_array, native::Array<T> grad_theta_array,
              native::Array<T> grad_weight_array, native::Array<T> grad_wave_array, int threads) {
  const Map<T> grad(grad_array), x(x_array), theta(theta_array), weight(weight_array), grad_theta(grad_theta_array),
      grad_weight(grad_weight_array);
  const T* wave = wave_array.data();
  const int room = padded<T>(theta.channels), pairs = theta.channels / 2;
  constexpr int rooms_each = 8;
  const Buffer<T> scratch(static_cast<std::size_t>(rooms_each) * room * threads);
  std::vector<T> partial(static_cast<std::size_t>(x.batch) * x.rows * 2 * pairs);  // what each row adds to grad wave
  parallel::run(x.batch * x.rows, threads, [&](int task, int thread) {
    T* const features = scratch.data() + static_cast<std::size_t>(rooms_each) * room * thread;
    T* const flow = features + room;  // the gradient of the features
    T* const next = flow + room;
    T* const row_wave = partial.data() + static_cast<std::size_t>(task) * 2 * pairs;
    const int b = task / x.rows, y = task % x.rows;
    for (int column = 0; column < x.columns; ++column) {
      const int chosen = strongest(x.read(b, y, column, next), x.channels);
      const T* t = theta.read(b, y, column, next + room);
      const T* w = weight.read(b, y, column, next + 2 * room);
      const T* g = grad.read(b, y, column, next + 3 * room);
      aggregate(t, w, gated(t, w, chosen), room, features);
      T total = 0;
      for (int j = 0; j < pairs; ++j) {
        const T real = features[2 * j], imaginary = features[2 * j + 1], cosine = wave[2 * j], sine = wave[2 * j + 1];
        const T g_real = g[2 * j], g_imaginary = g[2 * j + 1];
        flow[2 * j] = g_real * cosine + g_imaginary * sine;
        flow[2 * j + 1] = g_imaginary * cosine - g_real * sine;
        row_wave[2 * j] += g_real * real + g_imaginary * imaginary;
        row_wave[2 * j + 1] += g_imaginary * real - g_real * imaginary;
        total += flow[2 * j] + flow[2 * j + 1];
      }
      flow[chosen] += total;  // the chosen channel's product was added to all
      T* const to_theta = grad_theta.write(b, y, column, next + 4 * room);
      T* const to_weight = grad_weight.write(b, y, column, next + 5 * room);
      for (int c = 0; c < room; c += kLanes<T>) {
        const Vec<T> at = load(t + c), flowing = load(flow + c);
        const simd::Normal<T> normal = simd::normal(at);
        store(to_weight + c, flowing * at * normal.distribution);
        store(to_theta + c, flowing * load(w + c) * simd::gelu_slope<T>(at, normal));
      }
      grad_theta.finish(b, y, column, to_theta);
      grad_weight.finish(b, y, column, to_weight);
    }
  });
  T* const grad_wave = grad_wave_array.data();
  std::fill_n(grad_wave, 2 * pairs, T(0));
  for (int row = 0; row < x.batch * x.rows; ++row)
    for (int j = 0; j < 2 * pairs; ++j) grad_wave[j] += partial[static_cast<std::size_t>(row) * 2 * pairs + j];
}

template <typename T>
void bind_type(nb::module_& m) {
  using namespace nb::literals;
  using Release = nb::call_guard<nb::gil_scoped_release>;
  m.def("wave_aggregate_forward", &forward<T>, "x"_a.noconvert(), "theta"_a.noconvert(), "weight"_a.noconvert(),
        "wave"_a.noconvert(), "out"_a.noconvert(), "threads"_a, Release());
  m.def("wave_aggregate_backward", &backward<T>, "grad"_a.noconvert(), "x"_a.noconvert(), "theta"_a.noconvert(),
        "weight"_a.noconvert(), "wave"_a.noconvert(), "grad_theta"_a.noconvert(), "grad_weight"_a.noconvert(),
        "grad_wave"_a.noconvert(), "threads"_a, Release());
}

void bind(nb::module_& m) {
  bind_type<float>(m);
  bind_type<double>(m);
}

NATIVE_OPERATOR(bind);

}  // namespace
