// The selective scan over a map, forward and backward. A task holds the map of one vector of channels of one image as rows
// of lanes, in the caches as a rule, and scans those rows in the order of each direction: no order is ever written out.
#include "parallel.h"
#include "paths.h"
#include "scan_arrays.h"

namespace native::scan {
namespace {

// The sizes of a problem, its paths, and the vectors of channels that it falls into.
struct Maps {
  int batch, channels, length, states, chunk, chunks, vectors, lanes;
  std::vector<int> path[4];

  template <typename T>
  Maps(const Array<const T>& u, const Array<const T>& A, int scans, int height, int width, int chunk)
      : batch(u.shape(0)), channels(u.shape(1)), length(u.shape(2)), states(A.shape(1)), chunk(chunk),
        chunks((length + chunk - 1) / chunk), vectors((channels + kLanes<T> - 1) / kLanes<T>), lanes(kLanes<T>) {
    const paths::Directions directions = paths::directions(scans);
    for (int k = 0; k < 4; ++k) path[k] = paths::path(directions[k], height, width);
  }

  int count(int vector) const { return std::min(lanes, channels - vector * lanes); }
  int count_positions(int number) const { return std::min(chunk, length - number * chunk); }

  // The channels of a vector in u (B, D, L), and of one direction in delta (B, 4, D, L).
  template <typename T>
  simd::Strip<T> strip(const Array<T>& a, int b, int vector) const {
    return {a.data() + b * a.stride(0) + vector * lanes * a.stride(1), a.stride(1), a.stride(2), count(vector)};
  }
  template <typename T>
  simd::Strip<T> strip(const Array<T>& a, int b, int k, int vector) const {
    T* const data = a.data() + b * a.stride(0) + k * a.stride(1) + vector * lanes * a.stride(2);
    return {data, a.stride(2), a.stride(3), count(vector)};
  }
};

template <typename T>
void forward(const Array<const T>& u, const Array<const T>& delta, const Array<const T>& A, const Array<const T>& B,
             const Array<const T>& C, const Optional<T>& D, const Optional<T>& bias, const Array<T>& out,
             const Array<T>& states, bool softplus, int scans, int height, int width, int chunk, int threads) {
  constexpr int lanes = kLanes<T>;
  const Maps maps(u, A, scans, height, width, chunk);
  parallel::run(maps.batch * maps.vectors, threads, [&](int task, int) {
    const int b = task / maps.vectors, vector = task % maps.vectors, count = maps.count(vector);
    const std::size_t size = static_cast<std::size_t>(maps.length) * lanes;
    const simd::Buffer<T> in(size), step(size), sum(size);
    const Forward<T> pass(chunk, maps.states);
    simd::read_tile<T>(maps.strip(u, b, vector), maps.length, in.data());
    for (int k = 0; k < 4; ++k) {
      const int first = k * maps.channels + vector * lanes;
      const Channels<T> channels = parameters(A, D, bias, softplus, first, count);
      simd::read_tile<T>(maps.strip(delta, b, k, vector), maps.length, step.data());
      std::fill_n(pass.state.data(), maps.states * lanes, T(0));
      for (int number = 0; number < maps.chunks; ++number) {
        const int* const at = maps.path[k].data() + number * chunk;
        const int length = maps.count_positions(number);
        simd::write_tile<T>(pass.state.data(), maps.states, kept(states, b, number, first, count));
        pass.run(channels, coefficients(B, b, k, 0), coefficients(C, b, k, 0), in.data(), step.data(), at, length);
        for (int l = 0; l < length; ++l) {
          T* const row = sum.data() + static_cast<std::ptrdiff_t>(at[l]) * lanes;
          store(row, load(row) + load(pass.y.data() + l * lanes));
        }
      }
    }
    simd::write_tile<T>(sum.data(), maps.length, maps.strip(out, b, vector));
  });
}

template <typename T>
void backward(const Array<const T>& grad, const Array<const T>& u, const Array<const T>& delta,
              const Array<const T>& A, const Array<const T>& B, const Array<const T>& C, const Optional<T>& D,
              const Optional<T>& bias, const Array<const T>& states, const Array<T>& grad_u,
              const Array<T>& grad_delta, const Array<T>& grad_A, const Array<T>& grad_B, const Array<T>& grad_C,
              const Array<T>& grad_D, const Array<T>& grad_bias, bool softplus, int scans, int height, int width,
              int chunk, int threads) {
  constexpr int lanes = kLanes<T>;
  const Maps maps(u, A, scans, height, width, chunk);
  const int splits = grad_B.shape(0);
  parallel::run(maps.batch * splits, threads, [&](int task, int) {
    const int b = task / splits, split = task % splits;
    const std::size_t size = static_cast<std::size_t>(maps.length) * lanes;
    const simd::Buffer<T> in(size), step(size), of_y(size), of_u(size), of_delta(size);
    Backward<T> pass(chunk, maps.states);
    for (int vector = maps.vectors * split / splits; vector < maps.vectors * (split + 1) / splits; ++vector) {
      const int count = maps.count(vector);
      simd::read_tile<T>(maps.strip(u, b, vector), maps.length, in.data());
      simd::read_tile<T>(maps.strip(grad, b, vector), maps.length, of_y.data());
      std::fill_n(of_u.data(), size, T(0));
      for (int k = 0; k < 4; ++k) {
        const int first = k * maps.channels + vector * lanes;
        const Channels<T> channels = parameters(A, D, bias, softplus, first, count);
        simd::read_tile<T>(maps.strip(delta, b, k, vector), maps.length, step.data());
        pass.start(maps.states);
        std::fill_n(pass.carry.data(), maps.states * lanes, T(0));
        for (int number = maps.chunks - 1; number >= 0; --number) {
          simd::read_tile<T>(kept(states, b, number, first, count), maps.states, pass.state.data());
          pass.run(channels, coefficients(B, b, k, 0), coefficients(C, b, k, 0), part(grad_B, split, b, k, 0),
                   part(grad_C, split, b, k, 0), in.data(), step.data(), of_y.data(), of_u.data(), of_delta.data(),
                   maps.path[k].data() + number * chunk, maps.count_positions(number));
        }
        simd::write_tile<T>(of_delta.data(), maps.length, maps.strip(grad_delta, b, k, vector));
        simd::write_tile<T>(pass.grad_A.data(), maps.states, end(grad_A, b, first, count));
        write_lanes<T>(pass.grad_D, grad_D, b, first, count);
        write_lanes<T>(pass.grad_bias, grad_bias, b, first, count);
      }
      simd::write_tile<T>(of_u.data(), maps.length, maps.strip(grad_u, b, vector));
    }
  });
}

template <typename T>
void bind_dtype(nb::module_& m) {
  using namespace nb::literals;
  const auto release = nb::call_guard<nb::gil_scoped_release>();
  m.def("selective_scan_2d_forward", &forward<T>, "u"_a.noconvert(), "delta"_a.noconvert(), "A"_a.noconvert(),
        "B"_a.noconvert(), "C"_a.noconvert(), "D"_a.noconvert().none(), "delta_bias"_a.noconvert().none(),
        "out"_a.noconvert(), "states"_a.noconvert(), "softplus"_a, "scans"_a, "height"_a, "width"_a, "chunk"_a,
        "threads"_a, release);
  m.def("selective_scan_2d_backward", &backward<T>, "grad"_a.noconvert(), "u"_a.noconvert(), "delta"_a.noconvert(),
        "A"_a.noconvert(), "B"_a.noconvert(), "C"_a.noconvert(), "D"_a.noconvert().none(),
        "delta_bias"_a.noconvert().none(), "states"_a.noconvert(), "grad_u"_a.noconvert(), "grad_delta"_a.noconvert(),
        "grad_A"_a.noconvert(), "grad_B"_a.noconvert(), "grad_C"_a.noconvert(), "grad_D"_a.noconvert(),
        "grad_bias"_a.noconvert(), "softplus"_a, "scans"_a, "height"_a, "width"_a, "chunk"_a, "threads"_a, release);
}

void bind(nb::module_& m) {
  bind_dtype<float>(m);
  bind_dtype<double>(m);
}

NATIVE_OPERATOR(bind);

}  // namespace
}  // namespace native::scan
