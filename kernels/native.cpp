// The compiled module: collects the operators of every kernels/<operator>/cpu.cpp that was linked in.
#include "native.h"

NB_MODULE(NATIVE_MODULE, m) {
  m.doc() = "The native operators, built from the sources with the digest " NATIVE_SOURCES;
  for (native::Bind bind : native::bindings()) bind(m);
}
