// What Python sees of the loops; see loops.py.

#include <torch/extension.h>

#include "boxes.h"
#include "loop.h"
#include "mutual.h"

namespace {

using namespace mtgnn;

template <typename T>
void bind(py::module& module, const std::string& suffix) {
  py::class_<Talk<T>, std::shared_ptr<Talk<T>>>(module, ("Talk" + suffix).c_str());
  py::class_<Mutual<T>, Talk<T>, std::shared_ptr<Mutual<T>>>(module, ("Mutual" + suffix).c_str())
      .def(py::init<const Shape&, MutualTensors>());
  py::class_<Boxes<T>, Talk<T>, std::shared_ptr<Boxes<T>>>(module, ("Boxes" + suffix).c_str())
      .def(py::init<const Shape&, BoxTensors>())
      .def("open", &Boxes<T>::open)
      .def("open_backward", &Boxes<T>::open_backward);
  const py::call_guard<py::gil_scoped_release> without_gil;
  py::class_<Loop<T>>(module, ("Loop" + suffix).c_str())
      .def(py::init<Shape, const Tensor&, const Tensor&, const Tensor&, const Tensor&, const Given&,
                    std::shared_ptr<Talk<T>>>())
      .def("forward", &Loop<T>::forward, without_gil)
      .def("backward", &Loop<T>::backward, without_gil);
  module.attr(("PANEL" + suffix).c_str()) = kPanel<T>;
}

}  // namespace

PYBIND11_MODULE(TORCH_EXTENSION_NAME, module) {
  py::class_<Shape>(module, "Shape")
      .def(py::init([](int64_t blocks, int64_t width, int64_t hidden, int64_t heard,
                       const std::vector<std::array<int64_t, 3>>& steps) {
        Shape shape{blocks, width, hidden, heard, {}};
        for (const auto& [count, places, start] : steps)
          shape.steps.push_back({count, places, start});
        return shape;
      }))
      .def_readonly("heard", &Shape::heard);
#define FIELD(Name, field) .def_readwrite(#field, &Name::field)
  py::class_<MutualTensors>(module, "MutualTensors")
      .def(py::init<>())
      // clang-format off
      FIELD(MutualTensors, sender) FIELD(MutualTensors, mask) FIELD(MutualTensors, pair)
      FIELD(MutualTensors, pair_back) FIELD(MutualTensors, word) FIELD(MutualTensors, att)
      FIELD(MutualTensors, fixed) FIELD(MutualTensors, learns) FIELD(MutualTensors, message)
      FIELD(MutualTensors, alpha) FIELD(MutualTensors, keep_message)
      FIELD(MutualTensors, keep_alpha) FIELD(MutualTensors, grad_message)
      FIELD(MutualTensors, grad_alpha) FIELD(MutualTensors, d_word) FIELD(MutualTensors, d_att)
      FIELD(MutualTensors, d_fixed) FIELD(MutualTensors, heads) FIELD(MutualTensors, channels)
      FIELD(MutualTensors, dense) FIELD(MutualTensors, keeps_messages);
  py::class_<BoxTensors>(module, "BoxTensors")
      .def(py::init<>())
      FIELD(BoxTensors, box) FIELD(BoxTensors, counts) FIELD(BoxTensors, ends)
      FIELD(BoxTensors, mask) FIELD(BoxTensors, query) FIELD(BoxTensors, query_back)
      FIELD(BoxTensors, word) FIELD(BoxTensors, att) FIELD(BoxTensors, fixed)
      FIELD(BoxTensors, message) FIELD(BoxTensors, alpha) FIELD(BoxTensors, keep_message)
      FIELD(BoxTensors, keep_alpha) FIELD(BoxTensors, grad_message)
      FIELD(BoxTensors, grad_alpha) FIELD(BoxTensors, d_word) FIELD(BoxTensors, d_att)
      FIELD(BoxTensors, heads) FIELD(BoxTensors, channels) FIELD(BoxTensors, steps);
      // clang-format on
#undef FIELD
  module.attr("HAS_HALF") = kHasHalf;
  bind<float>(module, "Float");
  bind<double>(module, "Double");
}
