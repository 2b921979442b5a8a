// Packing: rows that are alive are copied one after the other.
#include "native.h"
#include "packed_rows.h"

namespace {

using native::Array;

// Returns the number of rows that are alive; nothing is copied unless `out` has as many.
template <typename T>
std::int64_t forward(const Array<T>& tokens, const Array<std::uint8_t>& alive, const Array<T>& out, int threads) {
  const packed_rows::Ranks ranks(alive);
  if (ranks.alive != static_cast<std::int64_t>(out.shape(0))) return ranks.alive;
  const int width = tokens.shape(1);
  packed_rows::for_rows(tokens.shape(0), threads, [&](std::int64_t row) {
    if (ranks.of[row] >= 0) {
      packed_rows::copy<T>({tokens, row}, {out, ranks.of[row]}, width);
    }
  });
  return ranks.alive;
}

template <typename T>
void bind_dtype(nb::module_& m) {
  using namespace nb::literals;
  m.def("pack_tokens_forward", &forward<T>, "tokens"_a.noconvert(), "alive"_a.noconvert(), "out"_a.noconvert(),
        "threads"_a, nb::call_guard<nb::gil_scoped_release>());
}

void bind(nb::module_& m) {
  bind_dtype<float>(m);
  bind_dtype<double>(m);
  bind_dtype<std::int16_t>(m);  // half precisions, whose bits are moved
}

NATIVE_OPERATOR(bind);

}  // namespace
