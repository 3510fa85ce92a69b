#include <pybind11/native_enum.h>
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include "cuda_frame_path.hpp"
#include "cuda_graph.hpp"
#include "error.hpp"
#include "loop.hpp"

namespace py = pybind11;
using namespace edge;

namespace {

using Floats = py::array_t<float, py::array::c_style>;

// Holds the Python objects that the loop's pointers point into.
struct EngineSlot {
  Preprocess preprocess;
  py::array input;
  py::array_t<float, py::array::c_style> scores;
  py::function run;
  std::shared_ptr<BoxScores> boxes;
  std::shared_ptr<CudaGraph> graph;       // instead of run
  py::object raw;                         // what boxes decode after the graph
  std::shared_ptr<CudaFramePath> frames;  // a second graph, from the frame on
};

std::shared_ptr<EngineSlot> make_slot(const Preprocess& preprocess, py::array input,
                                      py::array_t<float, py::array::c_style> output, py::function run,
                                      std::shared_ptr<BoxScores> boxes, std::shared_ptr<CudaGraph> graph,
                                      py::object raw, std::shared_ptr<CudaFramePath> frames) {
  if (static_cast<size_t>(input.nbytes()) != preprocess.output_bytes() || !input.writeable() ||
      (input.flags() & py::array::c_style) == 0) {
    throw CoreError("engine input buffer: " + std::to_string(input.nbytes()) + " bytes found, " +
                    std::to_string(preprocess.output_bytes()) + " writable, contiguous bytes expected");
  }
  if (graph && boxes && !py::isinstance<Floats>(raw)) {
    throw CoreError("engine slot: a graph with boxes needs the float32 output that they decode: give raw");
  }
  if (frames && !graph) throw CoreError("engine slot: frames need the graph of the inference alone, too");
  return std::make_shared<EngineSlot>(EngineSlot{preprocess, std::move(input), std::move(output),
                                                 std::move(run), std::move(boxes), std::move(graph),
                                                 std::move(raw), std::move(frames)});
}

Engine graph_engine(const std::shared_ptr<EngineSlot>& slot) {
  CudaGraph* const graph = slot->graph.get();
  BoxScores* const boxes = slot->boxes.get();
  const float* const raw = boxes == nullptr ? nullptr : slot->raw.cast<Floats>().data();
  // No Python: the graph's result lies in mapped memory when it is done.
  Engine engine{slot->preprocess, slot->input.mutable_data(), slot->scores.data(),
                static_cast<size_t>(slot->scores.size()), [graph, boxes, raw] {
                  if (!graph->run()) return false;
                  if (boxes != nullptr) boxes->decode(raw);
                  return true;
                }};
  engine.boxes = slot->boxes;
  if (CudaFramePath* const frames = slot->frames.get(); frames != nullptr) {
    engine.see = [frames, boxes, raw](const uint8_t* pixels, const Geometry& geometry, FrameStats& stats) {
      const Seen seen = frames->run(pixels, geometry, stats);
      if (seen == Seen::DONE && boxes != nullptr) boxes->decode(raw);
      return seen;
    };
  }
  return engine;
}

Engine to_engine(const std::shared_ptr<EngineSlot>& slot) {
  if (slot->graph) return graph_engine(slot);
  // The loop thread keeps its Python thread state for its whole life, so taking the GIL here allocates
  // nothing. The callable drops it again for the time of the inference.
  PyObject* run = slot->run.ptr();
  Engine engine{slot->preprocess, slot->input.mutable_data(), slot->scores.data(),
                static_cast<size_t>(slot->scores.size()), [run] {
                  py::gil_scoped_acquire gil;
                  PyObject* result = PyObject_CallNoArgs(run);
                  if (result == nullptr) {
                    PyErr_Clear();
                    return false;
                  }
                  Py_DECREF(result);
                  return true;
                }};
  engine.boxes = slot->boxes;
  return engine;
}

// The loop and what it borrows from Python.
class PyLoop {
 public:
  PyLoop(std::shared_ptr<Region> region, std::shared_ptr<RecordRing> records, const LoopSettings& settings,
         const std::shared_ptr<EngineSlot>& gate, const std::shared_ptr<EngineSlot>& classifier)
      : kept_{gate, classifier} {
    loop_ = std::make_unique<InspectionLoop>(std::move(region), std::move(records), settings, to_engine(gate),
                                             second_engine(classifier));
  }
  void add_recipe(const RecipeSettings& settings, const std::shared_ptr<EngineSlot>& gate,
                  const std::shared_ptr<EngineSlot>& classifier) {
    if (loop_->running()) throw CoreError("recipes are added before the loop is started");
    loop_->add_recipe(settings, to_engine(gate), second_engine(classifier));
    kept_.insert(kept_.end(), {gate, classifier});
  }
  ~PyLoop() { stop(); }

  void start() {
    loop_->start([](const std::function<void()>& body) {
      py::gil_scoped_acquire thread_state;
      py::gil_scoped_release released;
      body();
    });
  }
  void stop() {
    py::gil_scoped_release released;
    loop_->stop();
  }
  bool running() const { return loop_->running(); }
  py::object frame_shape() const {
    const uint64_t shape = loop_->frame_shape();
    if (shape == 0) return py::none();
    const Geometry seen = geometry_of_shape(shape);
    return py::make_tuple(seen.width, seen.height, seen.format);
  }

 private:
  static std::unique_ptr<Engine> second_engine(const std::shared_ptr<EngineSlot>& slot) {
    return slot ? std::make_unique<Engine>(to_engine(slot)) : nullptr;
  }

  std::vector<std::shared_ptr<EngineSlot>> kept_;
  std::unique_ptr<InspectionLoop> loop_;
};

}  // namespace

void bind_loop(py::module_& m) {
  py::class_<EngineSlot, std::shared_ptr<EngineSlot>>(m, "EngineSlot")
      .def(py::init(&make_slot), py::kw_only(), py::arg("preprocess"), py::arg("input"), py::arg("output"),
           py::arg("run"), py::arg("boxes") = std::shared_ptr<BoxScores>(),
           py::arg("graph") = std::shared_ptr<CudaGraph>(), py::arg("raw") = py::none(),
           py::arg("frames") = std::shared_ptr<CudaFramePath>());

  py::native_enum<Fusion>(m, "Fusion", "enum.IntEnum")
      .value("ANY_REJECT", Fusion::ANY_REJECT)
      .value("MAJORITY", Fusion::MAJORITY)
      .finalize();

  auto recipe = py::class_<RecipeSettings>(m, "RecipeSettings").def(py::init<>());
#define EDGE_SETTING(name) recipe.def_readwrite(#name, &RecipeSettings::name);
  EDGE_SETTING(number)
  EDGE_SETTING(earlier)
  EDGE_SETTING(min_mean)
  EDGE_SETTING(max_mean)
  EDGE_SETTING(max_dark_share)
  EDGE_SETTING(max_bright_share)
  EDGE_SETTING(min_sharpness)
  EDGE_SETTING(max_frame_age_ns)
  EDGE_SETTING(classes)
  EDGE_SETTING(gate_scores)
  EDGE_SETTING(classifier_scores)
  EDGE_SETTING(routing)
  EDGE_SETTING(second_view)
  EDGE_SETTING(brightness_wanted)
  EDGE_SETTING(rules)
  EDGE_SETTING(zones)
  EDGE_SETTING(mm_per_pixel)
#undef EDGE_SETTING

  auto settings = py::class_<LoopSettings, RecipeSettings>(m, "LoopSettings").def(py::init<>());
#define EDGE_SETTING(name) settings.def_readwrite(#name, &LoopSettings::name);
  EDGE_SETTING(budget_cap_ns)
  EDGE_SETTING(window_um)
  EDGE_SETTING(max_speed_um_per_s)
  EDGE_SETTING(speed_stale_ns)
  EDGE_SETTING(frame_timeout_ns)
  EDGE_SETTING(change_pause_ns)
  EDGE_SETTING(plc_write_assumed_ns)
  EDGE_SETTING(ignore_deadlines)
  EDGE_SETTING(routing_hysteresis)
  EDGE_SETTING(braking_um_per_s2)
  EDGE_SETTING(frames_per_part)
  EDGE_SETTING(fusion)
  EDGE_SETTING(warmup_runs)
  EDGE_SETTING(warmup_limit_ns)
  EDGE_SETTING(keep_warm_ns)
  EDGE_SETTING(engine_fault_limit)
  EDGE_SETTING(anticipate)
  EDGE_SETTING(fifo_priority)
  EDGE_SETTING(cpu)
#undef EDGE_SETTING

  py::class_<PyLoop>(m, "InspectionLoop")
      .def(py::init<std::shared_ptr<Region>, std::shared_ptr<RecordRing>, const LoopSettings&,
                    const std::shared_ptr<EngineSlot>&, const std::shared_ptr<EngineSlot>&>(),
           py::arg("region"), py::arg("records"), py::arg("settings"), py::arg("gate"), py::arg("classifier"))
      .def("add_recipe", &PyLoop::add_recipe, py::arg("settings"), py::arg("gate"), py::arg("classifier"))
      .def("start", &PyLoop::start)
      .def("stop", &PyLoop::stop)
      .def_property_readonly("running", &PyLoop::running)
      .def_property_readonly("frame_shape", &PyLoop::frame_shape);
}
