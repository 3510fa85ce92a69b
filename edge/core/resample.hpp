// One-dimensional resampling weights, the same as OpenCV's, and what they become on a Bayer mosaic.
#pragma once

#include <cstddef>
#include <vector>

namespace edge {

enum class Sampling { BILINEAR, AREA, AREA_GROWING };

// For every output position a window of contiguous input positions and their weights. Clearing keeps the
// memory, so that a second picture that is not larger allocates nothing.
class Windows {
 public:
  struct View {
    int first;
    int count;
    const float* weights;
    int last() const { return first + count - 1; }
    float at(int index) const { return index < first || index > last() ? 0.0F : weights[index - first]; }
  };

  // Empties, with room for any resize of at most `in` to `out`.
  void reserve(int in, int out);
  void reserve_like(const Windows& other);
  void begin(int first) { starts_.push_back({first, weights_.size()}); }
  void push(float weight) { weights_.push_back(weight); }
  int size() const { return static_cast<int>(starts_.size()); }
  View operator[](int output) const;
  int widest() const;

 private:
  struct Start {
    int first;
    std::size_t offset;
  };
  std::vector<Start> starts_;
  std::vector<float> weights_;
};

// AREA_GROWING is what INTER_AREA does where either axis grows: bilinear with the area's coordinates.
Sampling sampling_for(bool area, int in_width, int in_height, int out_width, int out_height);

// Weights of `out` outputs over `in` inputs, shifted by `origin` (the region of interest's corner).
void fill_windows(Sampling sampling, int in, int out, int origin, Windows& windows);

// OpenCV computes a demosaiced picture's outermost ring by repeating the next ring inwards. Moving the
// weights of the ring inwards does the same. Pictures narrower than three are left alone.
void move_ring_inwards(int size, const Windows& from, Windows& to);

// Bilinear demosaicing is linear, so it goes into the weights. Red and blue sites spread over their
// neighbours with [1/2 1 1/2] on both axes. A green site spreads a quarter to each of four neighbours: that
// is direct(y) * beside(x) + across(y) * direct(x).
struct MosaicWeights {
  float direct;  // the site itself
  float hat;     // with half of each neighbour
  float beside;  // with a quarter of each neighbour
  float across;  // a quarter of each neighbour only
};
MosaicWeights mosaic_weights(const Windows::View& window, int size, int index);

}  // namespace edge
