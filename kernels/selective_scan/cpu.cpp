// The selective scan, forward and backward. A task is a vector of channels of one image, which goes through its sequence
// chunk by chunk; in the backward pass a task is some vectors of one group, whose parts of the gradients of B and C it adds.
#include "parallel.h"
#include "scan_arrays.h"

#include <numeric>

namespace native::scan {
namespace {

// A (B, G, D / G, L) tensor.
template <typename T>
struct Sequences {
  T* data;
  std::ptrdiff_t batch, group, channel, position;

  explicit Sequences(const Array<T>& a)
      : data(a.data()), batch(a.stride(0)), group(a.stride(1)), channel(a.stride(2)), position(a.stride(3)) {}

  simd::Strip<T> strip(int b, int g, int first, int channels) const {
    return {data + b * batch + g * group + first * channel, channel, position, channels};
  }
};

// The sizes of a problem, and the vectors of channels that it falls into.
struct Problem {
  int batch, groups, channels, length, states, chunk, chunks, lanes, vectors;

  template <typename T>
  Problem(const Array<const T>& u, const Array<const T>& A, int chunk)
      : batch(u.shape(0)), groups(u.shape(1)), channels(u.shape(2)), length(u.shape(3)), states(A.shape(1)),
        chunk(chunk), chunks((length + chunk - 1) / chunk), lanes(kLanes<T>),
        vectors((channels + lanes - 1) / lanes) {}

  int all_channels() const { return groups * channels; }
  int count(int vector) const { return std::min(lanes, channels - vector * lanes); }
  int count_positions(int number) const { return std::min(chunk, length - number * chunk); }
};

template <typename T>
void forward(const Array<const T>& u_array, const Array<const T>& delta_array, const Array<const T>& A,
             const Array<const T>& B, const Array<const T>& C, const Optional<T>& D, const Optional<T>& z_array,
             const Optional<T>& bias, const Optional<T>& initial, const Array<T>& out_array, const Array<T>& last,
             const Array<T>& states, bool softplus, int chunk, int threads) {
  constexpr int lanes = kLanes<T>;
  const Problem problem(u_array, A, chunk);
  const Sequences<const T> u(u_array), delta(delta_array);
  const Sequences<T> out(out_array);
  std::vector<int> at(chunk);
  std::iota(at.begin(), at.end(), 0);
  parallel::run(problem.batch * problem.groups * problem.vectors, threads, [&](int task, int) {
    const int vector = task % problem.vectors, g = task / problem.vectors % problem.groups;
    const int b = task / problem.vectors / problem.groups, count = problem.count(vector);
    const int first = g * problem.channels + vector * lanes;
    const Channels<T> channels = parameters(A, D, bias, softplus, first, count);
    const Forward<T> pass(chunk, problem.states);
    const simd::Buffer<T> in(chunk * lanes), step(chunk * lanes);
    if (initial) simd::read_tile<T>(end(*initial, b, first, count), problem.states, pass.state.data());
    for (int number = 0; number < problem.chunks; ++number) {
      const int start = number * chunk, length = problem.count_positions(number);
      simd::write_tile<T>(pass.state.data(), problem.states, kept(states, b, number, first, count));
      simd::read_tile<T>(u.strip(b, g, vector * lanes, count).from(start), length, in.data());
      simd::read_tile<T>(delta.strip(b, g, vector * lanes, count).from(start), length, step.data());
      pass.run(channels, coefficients(B, b, g, start), coefficients(C, b, g, start), in.data(), step.data(), at.data(),
               length);
      if (z_array) {
        const Sequences<const T> z(*z_array);
        simd::read_tile<T>(z.strip(b, g, vector * lanes, count).from(start), length, in.data());
        for (int l = 0; l < length * lanes; l += lanes) {
          store(pass.y.data() + l, load(pass.y.data() + l) * simd::silu<T>(load(in.data() + l)));
        }
      }
      simd::write_tile<T>(pass.y.data(), length, out.strip(b, g, vector * lanes, count).from(start));
    }
    simd::write_tile<T>(pass.state.data(), problem.states, end(last, b, first, count));
  });
}

template <typename T>
void backward(const Array<const T>& grad_array, const Array<const T>& grad_last, const Array<const T>& u_array,
              const Array<const T>& delta_array, const Array<const T>& A, const Array<const T>& B,
              const Array<const T>& C, const Optional<T>& D, const Optional<T>& z_array, const Optional<T>& bias,
              const Array<const T>& states, const Array<T>& grad_u, const Array<T>& grad_delta,
              const std::optional<Array<T>>& grad_z, const Array<T>& grad_A, const Array<T>& grad_B,
              const Array<T>& grad_C, const Array<T>& grad_D, const Array<T>& grad_bias, const Array<T>& grad_initial,
              bool softplus, int chunk, int threads) {
  constexpr int lanes = kLanes<T>;
  const Problem problem(u_array, A, chunk);
  const Sequences<const T> u(u_array), delta(delta_array), grad(grad_array);
  const Sequences<T> to_u(grad_u), to_delta(grad_delta);
  const int splits = grad_B.shape(0);
  std::vector<int> at(chunk);
  std::iota(at.begin(), at.end(), 0);
  parallel::run(problem.batch * problem.groups * splits, threads, [&](int task, int) {
    const int split = task % splits, g = task / splits % problem.groups, b = task / splits / problem.groups;
    Backward<T> pass(chunk, problem.states);
    const simd::Buffer<T> in(chunk * lanes), step(chunk * lanes), of_y(chunk * lanes), gate(chunk * lanes),
        of_u(chunk * lanes), of_delta(chunk * lanes);
    for (int vector = problem.vectors * split / splits; vector < problem.vectors * (split + 1) / splits; ++vector) {
      const int count = problem.count(vector), first = g * problem.channels + vector * lanes;
      const Channels<T> channels = parameters(A, D, bias, softplus, first, count);
      pass.start(problem.states);
      simd::read_tile<T>(end(grad_last, b, first, count), problem.states, pass.carry.data());
      for (int number = problem.chunks - 1; number >= 0; --number) {
        const int start = number * chunk, length = problem.count_positions(number);
        const auto read = [&](const Sequences<const T>& from, const simd::Buffer<T>& to) {
          simd::read_tile<T>(from.strip(b, g, vector * lanes, count).from(start), length, to.data());
        };
        const auto write = [&](const simd::Buffer<T>& from, const Sequences<T>& to) {
          simd::write_tile<T>(from.data(), length, to.strip(b, g, vector * lanes, count).from(start));
        };
        read(u, in);
        read(delta, step);
        read(grad, of_y);
        if (z_array) {
          read(Sequences<const T>(*z_array), gate);
          for (int l = 0; l < length * lanes; l += lanes) {
            store(of_y.data() + l, load(of_y.data() + l) * simd::silu<T>(load(gate.data() + l)));
          }
        }
        simd::read_tile<T>(kept(states, b, number, first, count), problem.states, pass.state.data());
        std::fill_n(of_u.data(), length * lanes, T(0));
        pass.run(channels, coefficients(B, b, g, start), coefficients(C, b, g, start), part(grad_B, split, b, g, start),
                 part(grad_C, split, b, g, start), in.data(), step.data(), of_y.data(), of_u.data(), of_delta.data(),
                 at.data(), length);
        write(of_u, to_u);
        write(of_delta, to_delta);
        if (z_array) {
          read(grad, of_y);
          for (int l = 0; l < length * lanes; l += lanes) {
            const Vec<T> z = load(gate.data() + l), slope = simd::silu_slope<T>(z, simd::sigmoid<T>(z));
            store(gate.data() + l, load(of_y.data() + l) * load(pass.y.data() + l) * slope);
          }
          write(gate, Sequences<T>(*grad_z));
        }
      }
      simd::write_tile<T>(pass.carry.data(), problem.states, end(grad_initial, b, first, count));
      simd::write_tile<T>(pass.grad_A.data(), problem.states, end(grad_A, b, first, count));
      write_lanes<T>(pass.grad_D, grad_D, b, first, count);
      write_lanes<T>(pass.grad_bias, grad_bias, b, first, count);
    }
  });
}

template <typename T>
void bind_dtype(nb::module_& m) {
  using namespace nb::literals;
  const auto release = nb::call_guard<nb::gil_scoped_release>();
  m.def("selective_scan_forward", &forward<T>, "u"_a.noconvert(), "delta"_a.noconvert(), "A"_a.noconvert(),
        "B"_a.noconvert(), "C"_a.noconvert(), "D"_a.noconvert().none(), "z"_a.noconvert().none(),
        "delta_bias"_a.noconvert().none(), "initial_state"_a.noconvert().none(), "out"_a.noconvert(),
        "last"_a.noconvert(), "states"_a.noconvert(), "softplus"_a, "chunk"_a, "threads"_a, release);
  m.def("selective_scan_backward", &backward<T>, "grad"_a.noconvert(), "grad_last"_a.noconvert(), "u"_a.noconvert(),
        "delta"_a.noconvert(), "A"_a.noconvert(), "B"_a.noconvert(), "C"_a.noconvert(), "D"_a.noconvert().none(),
        "z"_a.noconvert().none(), "delta_bias"_a.noconvert().none(), "states"_a.noconvert(), "grad_u"_a.noconvert(),
        "grad_delta"_a.noconvert(), "grad_z"_a.noconvert().none(), "grad_A"_a.noconvert(), "grad_B"_a.noconvert(),
        "grad_C"_a.noconvert(), "grad_D"_a.noconvert(), "grad_bias"_a.noconvert(), "grad_initial"_a.noconvert(),
        "softplus"_a, "chunk"_a, "threads"_a, release);
}

void bind(nb::module_& m) {
  bind_dtype<float>(m);
  bind_dtype<double>(m);
}

NATIVE_OPERATOR(bind);

}  // namespace
}  // namespace native::scan
