// How operators over neighbourhoods address (B, G, H, W, C) tensors and divide them into tasks: one residue class of one
// group of one image is a map in which neighbourhoods are undilated.
#pragma once

#include "native.h"
#include "neighborhood.h"

namespace neighborhood {

template <typename T>
inline Plane<T> plane(const native::Array<T>& tensor, int batch, int group) {
  return {tensor.data() + batch * tensor.stride(0) + group * tensor.stride(1), tensor.stride(2), tensor.stride(3),
          tensor.stride(4)};
}

template <typename T>
inline Plane<const T> read_only(const Plane<T>& from) {
  return {from.data, from.row, from.column, from.channel};
}

// The maps of a problem, their windows and the distance of two neighbours along each axis.
struct Maps {
  int batch, groups, height, width;
  Extent kernel, dilation;

  template <typename T>
  Maps(const native::Array<T>& tensor, const Extent& kernel, const Extent& dilation)
      : batch(tensor.shape(0)), groups(tensor.shape(1)), height(tensor.shape(2)), width(tensor.shape(3)),
        kernel(kernel), dilation(dilation) {}

  int count() const { return batch * groups * dilation.count(); }
  // Of the largest residue class.
  int most_rows() const { return members(height, 0, dilation.rows); }
  int most_columns() const { return members(width, 0, dilation.columns); }
  std::size_t most_positions() const { return static_cast<std::size_t>(most_rows()) * most_columns(); }
};

// One residue class of one group of one image.
struct Part {
  int batch, group, y, x, height, width;

  Part(const Maps& maps, int task) {
    x = task % maps.dilation.columns, task /= maps.dilation.columns;
    y = task % maps.dilation.rows, task /= maps.dilation.rows;
    group = task % maps.groups, batch = task / maps.groups;
    height = members(maps.height, y, maps.dilation.rows);
    width = members(maps.width, x, maps.dilation.columns);
  }

  template <typename T>
  Plane<T> of(const native::Array<T>& tensor, const Maps& maps) const {
    return plane(tensor, batch, group).residue(y, x, maps.dilation);
  }
};

}  // namespace neighborhood
