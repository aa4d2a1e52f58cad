// What Python sees of the loops; see build.py, steps.py and talks.py.

#include <torch/extension.h>

#include "boxes.h"
#include "gate.h"
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
  py::class_<Gate<T>, Talk<T>, std::shared_ptr<Gate<T>>>(module, ("Gate" + suffix).c_str())
      .def(py::init<const Shape&, GateTensors, std::shared_ptr<Talk<T>>>());
  const py::call_guard<py::gil_scoped_release> without_gil;
  py::class_<Loop<T>>(module, ("Loop" + suffix).c_str())
      .def(py::init<Shape, const Tensor&, const Tensor&, const Tensor&, const Tensor&, const Given&,
                    std::shared_ptr<Talk<T>>>())
      .def("forward", &Loop<T>::forward, without_gil)
      .def("backward", &Loop<T>::backward, without_gil);
  module.attr(("PANEL" + suffix).c_str()) = kPanel<T>;
}

}  // namespace

PYBIND11_MODULE(mtgnn_native, module) {
  py::class_<Shape>(module, "Shape")
      .def(py::init([](int64_t blocks, int64_t width, int64_t hidden, int64_t heard,
                       const std::vector<std::array<int64_t, 3>>& steps,
                       std::vector<int64_t> lengths) {
        Shape shape{blocks, width, hidden, heard, {}, std::move(lengths)};
        for (const auto& [count, places, start] : steps)
          shape.steps.push_back({count, places, start});
        return shape;
      }))
      .def_readonly("heard", &Shape::heard);
#define FIELD(Name, field) .def_readwrite(#field, &Name::field)
  py::class_<TalkTensors>(module, "TalkTensors")
      // clang-format off
      FIELD(TalkTensors, mask) FIELD(TalkTensors, word) FIELD(TalkTensors, att)
      FIELD(TalkTensors, fixed) FIELD(TalkTensors, message) FIELD(TalkTensors, alpha)
      FIELD(TalkTensors, keep_message) FIELD(TalkTensors, keep_alpha)
      FIELD(TalkTensors, grad_message) FIELD(TalkTensors, grad_alpha)
      FIELD(TalkTensors, d_word) FIELD(TalkTensors, d_att) FIELD(TalkTensors, heads)
      FIELD(TalkTensors, channels);
  py::class_<MutualTensors, TalkTensors>(module, "MutualTensors")
      .def(py::init<>())
      FIELD(MutualTensors, sender) FIELD(MutualTensors, first) FIELD(MutualTensors, pair) FIELD(MutualTensors, pair_back)
      FIELD(MutualTensors, learns) FIELD(MutualTensors, d_fixed) FIELD(MutualTensors, dense)
      FIELD(MutualTensors, keeps_messages);
  py::class_<BoxTensors, TalkTensors>(module, "BoxTensors")
      .def(py::init<>())
      FIELD(BoxTensors, box) FIELD(BoxTensors, counts) FIELD(BoxTensors, ends)
      FIELD(BoxTensors, query) FIELD(BoxTensors, query_back) FIELD(BoxTensors, steps);
  py::class_<GateTensors>(module, "GateTensors")
      .def(py::init<>())
      FIELD(GateTensors, received) FIELD(GateTensors, state) FIELD(GateTensors, other)
      FIELD(GateTensors, back) FIELD(GateTensors, bias) FIELD(GateTensors, message)
      FIELD(GateTensors, opened) FIELD(GateTensors, keep_message)
      FIELD(GateTensors, grad_message) FIELD(GateTensors, spoken);
      // clang-format on
#undef FIELD
  module.attr("HAS_HALF") = kHasHalf;
  bind<float>(module, "Float");
  bind<double>(module, "Double");
}
