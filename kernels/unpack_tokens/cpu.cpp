// Unpacking: places that are alive take the packed rows, the others keep those of the canvas; each is written once.
#include "native.h"
#include "packed_rows.h"

namespace {

using native::Array;

// Returns the number of places that are alive; nothing is copied if there are not as many rows. Rows or a canvas that is
// left out stands for zeros.
template <typename T>
std::int64_t forward(const std::optional<Array<T>>& rows, const Array<std::uint8_t>& alive,
                     const std::optional<Array<T>>& canvas, const Array<T>& out, int threads) {
  const packed_rows::Ranks ranks(alive);
  if (rows && ranks.alive != static_cast<std::int64_t>(rows->shape(0))) return ranks.alive;
  const int width = out.shape(1);
  packed_rows::for_rows(out.shape(0), threads, [&](std::int64_t place) {
    const packed_rows::Row<T> to(out, place);
    const std::int64_t row = ranks.of[place];
    const std::optional<Array<T>>& from = row >= 0 ? rows : canvas;
    if (from) {
      packed_rows::copy<T>({*from, row >= 0 ? row : place}, to, width);
    } else {
      packed_rows::clear(to, width);
    }
  });
  return ranks.alive;
}

template <typename T>
void bind_dtype(nb::module_& m) {
  using namespace nb::literals;
  m.def("unpack_tokens_forward", &forward<T>, "rows"_a.noconvert().none(), "alive"_a.noconvert(),
        "canvas"_a.noconvert().none(), "out"_a.noconvert(), "threads"_a, nb::call_guard<nb::gil_scoped_release>());
}

void bind(nb::module_& m) {
  bind_dtype<float>(m);
  bind_dtype<double>(m);
  bind_dtype<std::int16_t>(m);  // half precisions, whose bits are moved
}

NATIVE_OPERATOR(bind);

}  // namespace
