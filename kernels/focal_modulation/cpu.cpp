// Focal modulation's context, forward and backward: all levels of one vector of channels of one image, one after the
// other, on maps that stay in the caches. Only the context and the result pass through memory.
#include <nanobind/stl/vector.h>

#include "depthwise_conv2d/correlate.h"
#include "gelu.h"

namespace native::depthwise {
namespace {

// What both passes share: the levels, their packed weights and the gates as dense rows.
template <typename T>
struct Focal {
  Tensor4<const T> context;
  std::vector<int> sizes;
  int levels, positions, vectors, taps;
  std::vector<T> weights, turned;  // [vector][tap of all levels][lane]
  std::vector<T> gates;            // [image][level, then everywhere][position]

  Focal(const Array<const T>& context, const Array<const T>& gates_array, const Array<const T>& taps_array,
        const std::vector<int>& sizes)
      : context(context), sizes(sizes), levels(sizes.size()), positions(this->context.rows * this->context.columns),
        vectors(ceil_div(this->context.channels, kLanes<T>)), taps(taps_array.shape(1)),
        weights(static_cast<size_t>(vectors) * taps * kLanes<T>), turned(weights.size()) {
    for (int c = 0; c < this->context.channels; ++c)
      for (int l = 0, first = 0; l < levels; first += sizes[l] * sizes[l], ++l)
        for (int t = 0, last = sizes[l] * sizes[l] - 1; t <= last; ++t) {
          const T tap = taps_array.data()[static_cast<size_t>(c) * taps + first + t];
          const size_t vector = static_cast<size_t>(c / kLanes<T>) * taps + first;
          weights[(vector + t) * kLanes<T> + c % kLanes<T>] = tap;
          turned[(vector + last - t) * kLanes<T> + c % kLanes<T>] = tap;
        }
    const Tensor4<const T> from(gates_array);
    gates.reserve(static_cast<size_t>(from.batch) * from.channels * positions);
    for (int b = 0; b < from.batch; ++b)
      for (int l = 0; l < from.channels; ++l)
        for (int y = 0; y < from.rows; ++y)
          for (int x = 0; x < from.columns; ++x)
            gates.push_back(from.data[b * from.sb + l * from.sc + y * from.sy + x * from.sx]);
  }

  const T* gate(int b, int level) const {
    return gates.data() + (static_cast<size_t>(b) * (levels + 1) + level) * positions;
  }
  const T* kernel(const std::vector<T>& packed, int v, int level) const {
    size_t first = static_cast<size_t>(v) * taps;
    for (int l = 0; l < level; ++l) first += sizes[l] * sizes[l];
    return packed.data() + first * kLanes<T>;
  }
  Geometry geometry(int level) const { return {sizes[level], sizes[level], sizes[level] / 2, sizes[level] / 2, 1, 1}; }
  size_t map_size() const { return static_cast<size_t>(positions) * kLanes<T>; }
  Maps<T> map(T* data) const {
    return {data, context.rows, context.columns, static_cast<ptrdiff_t>(context.columns) * kLanes<T>, kLanes<T>};
  }
};

// Calls f(image, line of vectors, first vector, last vector + 1) in parallel; a line is what shares cache lines.
template <typename T, typename F>
void each_line(const Focal<T>& focal, int threads, F&& f) {
  const int lines = ceil_div(focal.vectors, kVectorsPerLine);
#pragma omp parallel for collapse(2) num_threads(threads) schedule(dynamic)
  for (int b = 0; b < focal.context.batch; ++b)
    for (int line = 0; line < lines; ++line)
      f(b, line, line * kVectorsPerLine, std::min(focal.vectors, (line + 1) * kVectorsPerLine));
}

template <typename T>
Vec<T> mean(const T* map, int positions) {
  Vec<T> sum{};
  for (int p = 0; p < positions; ++p) sum += load(map + p * kLanes<T>);
  return sum / static_cast<T>(positions);
}

// Writes a dense map to vector v of channels of a tensor.
template <typename T>
void put(const Maps<T>& from, const Tensor4<T>& to, int b, int v) {
  if (to.sc != 1 || (v + 1) * kLanes<T> > to.channels) return unpack(from, to, b, v);
  for (int y = 0; y < to.rows; ++y)
    for (int x = 0; x < to.columns; ++x)
      store(to.data + b * to.sb + v * kLanes<T> + y * to.sy + x * to.sx, load(from.at(y, x)));
}

template <typename T>
void forward(Array<const T> context, Array<const T> gates, Array<const T> taps, std::vector<int> sizes,
             Array<T> out_array, int threads) {
  const Focal<T> focal(context, gates, taps, sizes);
  const Tensor4<T> out(out_array);
  each_line(focal, threads, [&](int b, int, int first, int last) {
    std::vector<T> from_buffer, to_buffer, total(focal.map_size());
    for (int v = first; v < last; ++v) {
      Maps<T> from = pack(focal.context, b, v, from_buffer);
      Maps<T> to = dense_map(to_buffer, from.rows, from.columns);
      for (int l = 0; l < focal.levels; ++l) {
        correlate<T>(from, focal.kernel(focal.weights, v, l), Vec<T>{}, to, focal.geometry(l));
        const T* gate = focal.gate(b, l);
        for (int p = 0; p < focal.positions; ++p) {
          T* const at = to.data + p * kLanes<T>;
          T* const sum = total.data() + p * kLanes<T>;
          const Vec<T> z = simd::gelu<T>(load(at));
          store(at, z);
          store(sum, l == 0 ? gate[p] * z : load(sum) + gate[p] * z);
        }
        std::swap(from, to);
      }
      const Vec<T> everywhere = simd::gelu<T>(mean(from.data, focal.positions));
      const T* gate = focal.gate(b, focal.levels);
      for (int p = 0; p < focal.positions; ++p) {
        T* const sum = total.data() + p * kLanes<T>;
        store(sum, focal.levels == 0 ? gate[p] * everywhere : load(sum) + gate[p] * everywhere);
      }
      put(focal.map(total.data()), out, b, v);
    }
  });
}

template <typename T>
void backward(Array<const T> grad_array, Array<const T> context, Array<const T> gates, Array<const T> taps,
              std::vector<int> sizes, Array<T> grad_context_array, Array<T> grad_gates_array, Array<T> grad_taps_array,
              int threads) {
  const Focal<T> focal(context, gates, taps, sizes);
  const Tensor4<const T> grad(grad_array);
  const Tensor4<T> grad_context(grad_context_array), grad_gates(grad_gates_array);
  const int positions = focal.positions, levels = focal.levels, lines = ceil_div(focal.vectors, kVectorsPerLine);
  const size_t map_size = focal.map_size(), gate_size = static_cast<size_t>(levels + 1) * positions;
  const size_t image_taps = static_cast<size_t>(focal.vectors) * focal.taps * kLanes<T>;
  std::vector<T> gate_partial(focal.context.batch * lines * gate_size);  // what each line of vectors adds
  std::vector<T> taps_partial(focal.context.batch * image_taps);         // [image][vector][tap][lane]

  each_line(focal, threads, [&](int b, int line, int first, int last) {
    std::vector<T> context_buffer, grad_buffer, room((2 * levels + 2) * map_size);
    T* const line_gates = gate_partial.data() + (static_cast<size_t>(b) * lines + line) * gate_size;
    for (int v = first; v < last; ++v) {
      // z[l] is what level l reads, and z[levels] what the last one gives; before[l] is level l before its GELU.
      std::vector<T*> z{pack(focal.context, b, v, context_buffer).data}, before;
      for (int l = 0; l < levels; ++l) {
        before.push_back(room.data() + 2 * l * map_size);
        z.push_back(before.back() + map_size);
        correlate<T>(focal.map(z[l]), focal.kernel(focal.weights, v, l), Vec<T>{}, focal.map(before[l]),
                     focal.geometry(l));
        for (size_t i = 0; i < map_size; i += kLanes<T>) store(z[l + 1] + i, simd::gelu<T>(load(before[l] + i)));
      }
      const T* g = pack(grad, b, v, grad_buffer).data;
      const Vec<T> average = mean(z[levels], positions);
      const simd::Normal<T> normal = simd::normal(average);
      const Vec<T> everywhere = average * normal.distribution;
      Vec<T> flow_everywhere{};
      for (int p = 0; p < positions; ++p) {
        const Vec<T> at = load(g + p * kLanes<T>);
        for (int l = 0; l < levels; ++l)
          line_gates[l * positions + p] += simd::sum<T>(at * load(z[l + 1] + p * kLanes<T>));
        line_gates[levels * positions + p] += simd::sum<T>(at * everywhere);
        flow_everywhere += focal.gate(b, levels)[p] * at;
      }
      flow_everywhere *= simd::gelu_slope<T>(average, normal) / static_cast<T>(positions);

      // flow: the gradient of z[l + 1], then of what level l gives before its GELU; read: the gradient of z[l].
      T* flow = room.data() + 2 * levels * map_size;
      T* read = flow + map_size;
      for (size_t i = 0; i < map_size; i += kLanes<T>) store(flow + i, flow_everywhere);
      for (int l = levels - 1; l >= 0; --l) {
        for (int p = 0; p < positions; ++p) {
          const size_t i = static_cast<size_t>(p) * kLanes<T>;
          const Vec<T> at = load(before[l] + i), arriving = load(flow + i) + focal.gate(b, l)[p] * load(g + i);
          store(flow + i, arriving * simd::gelu_slope<T>(at, simd::normal(at)));
        }
        const int size = sizes[l];
        T* const sums = taps_partial.data() + b * image_taps + (focal.kernel(focal.weights, v, l) - focal.weights.data());
        correlate<T>(focal.map(z[l]), flow, Vec<T>{}, {sums, size, size, size * kLanes<T>, kLanes<T>},
                     {focal.context.rows, focal.context.columns, size / 2, size / 2, 1, 1});
        correlate<T>(focal.map(flow), focal.kernel(focal.turned, v, l), Vec<T>{}, focal.map(read), focal.geometry(l));
        std::swap(flow, read);
      }
      put(focal.map(flow), grad_context, b, v);
    }
  });

  for (int b = 0; b < focal.context.batch; ++b)
    for (int l = 0; l <= levels; ++l)
      for (int p = 0; p < positions; ++p) {
        T sum = 0;
        for (int line = 0; line < lines; ++line)
          sum += gate_partial[(static_cast<size_t>(b) * lines + line) * gate_size + l * positions + p];
        const int y = p / focal.context.columns, x = p % focal.context.columns;
        grad_gates.data[b * grad_gates.sb + l * grad_gates.sc + y * grad_gates.sy + x * grad_gates.sx] = sum;
      }
  for (int c = 0; c < focal.context.channels; ++c)
    for (int t = 0; t < focal.taps; ++t) {
      const size_t at = (static_cast<size_t>(c / kLanes<T>) * focal.taps + t) * kLanes<T> + c % kLanes<T>;
      T sum = 0;
      for (int b = 0; b < focal.context.batch; ++b) sum += taps_partial[b * image_taps + at];
      grad_taps_array.data()[static_cast<size_t>(c) * focal.taps + t] = sum;
    }
}

template <typename T>
void bind_type(nb::module_& m) {
  using namespace nb::literals;
  using Release = nb::call_guard<nb::gil_scoped_release>;
  m.def("focal_modulation_forward", &forward<T>, "context"_a, "gates"_a, "taps"_a, "kernel_sizes"_a, "out"_a,
        "threads"_a, Release());
  m.def("focal_modulation_backward", &backward<T>, "grad"_a, "context"_a, "gates"_a, "taps"_a, "kernel_sizes"_a,
        "grad_context"_a, "grad_gates"_a, "grad_taps"_a, "threads"_a, Release());
}

void bind(nb::module_& m) {
  bind_type<float>(m);
  bind_type<double>(m);
}

}  // namespace
}  // namespace native::depthwise

NATIVE_OPERATOR(native::depthwise::bind);
