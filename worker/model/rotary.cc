#include "worker/model/rotary.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace layercake {
namespace {

using Type = RopeScaling::Type;

// 1 / base^(2i / head_dim), in f32 at every step.
std::vector<float> PlainFrequencies(double base, int64_t head_dim) {
  std::vector<float> frequencies;
  for (int64_t i = 0; i < head_dim; i += 2) {
    const float exponent = static_cast<float>(i) / static_cast<float>(head_dim);
    frequencies.push_back(1.0f / static_cast<float>(std::pow(static_cast<float>(base), exponent)));
  }
  return frequencies;
}

int64_t TrainedLength(const ModelConfig& config) {
  const int64_t original = config.rope_scaling.original_max_position_embeddings;
  return original > 0 ? original : config.max_context_tokens;
}

double DynamicBase(const ModelConfig& config, int64_t length) {
  const double trained = static_cast<double>(TrainedLength(config));
  const double factor = config.rope_scaling.factor;
  const double dim = static_cast<double>(config.head_dim);
  const double stretch = factor * static_cast<double>(length) / trained - (factor - 1);
  return config.rope_theta * std::pow(stretch, dim / (dim - 2));
}

void ScaleLlama3(const ModelConfig& config, std::vector<float>& frequencies) {
  const RopeScaling& scaling = config.rope_scaling;
  const float factor = static_cast<float>(scaling.factor);
  const float low = static_cast<float>(scaling.low_freq_factor);
  const float high = static_cast<float>(scaling.high_freq_factor);
  const float trained = static_cast<float>(TrainedLength(config));
  for (float& frequency : frequencies) {
    const float wavelength = static_cast<float>(2 * std::numbers::pi) / frequency;
    if (wavelength < trained / high) continue;
    if (wavelength > trained / low) {
      frequency /= factor;
    } else {
      const float smooth = (trained / wavelength - low) / (high - low);
      frequency = (1 - smooth) * frequency / factor + smooth * frequency;
    }
  }
}

void ScaleYarn(const ModelConfig& config, std::vector<float>& frequencies) {
  const RopeScaling& scaling = config.rope_scaling;
  const double dim = static_cast<double>(config.head_dim);
  // The dimension whose wavelength fits `rotations` times into the length trained at.
  const auto dimension = [&](double rotations) {
    const double length = static_cast<double>(TrainedLength(config));
    return dim * std::log(length / (rotations * 2 * std::numbers::pi)) /
           (2 * std::log(config.rope_theta));
  };
  const double low = std::max(std::floor(dimension(scaling.beta_fast)), 0.0);
  double high = std::min(std::ceil(dimension(scaling.beta_slow)), dim - 1);
  if (low == high) high += 0.001;
  for (size_t i = 0; i < frequencies.size(); ++i) {
    const float ramp =
        (static_cast<float>(i) - static_cast<float>(low)) / static_cast<float>(high - low);
    const float extrapolated = 1 - std::clamp(ramp, 0.0f, 1.0f);
    const float interpolated = 1.0f / (static_cast<float>(scaling.factor) / frequencies[i]);
    frequencies[i] = interpolated * (1 - extrapolated) + frequencies[i] * extrapolated;
  }
}

}  // namespace

Rotary::Rotary(const ModelConfig& config)
    : config_(config), frequencies_(PlainFrequencies(config.rope_theta, config.head_dim)) {
  const RopeScaling& scaling = config.rope_scaling;
  switch (scaling.type) {
    case Type::kNone:
    case Type::kDynamic:
      break;
    case Type::kLinear:
      for (float& frequency : frequencies_) frequency /= static_cast<float>(scaling.factor);
      break;
    case Type::kYarn:
      ScaleYarn(config, frequencies_);
      magnitude_ = static_cast<float>(scaling.attention_factor.value_or(
          scaling.factor <= 1 ? 1.0 : 0.1 * std::log(scaling.factor) + 1));
      break;
    case Type::kLlama3:
      ScaleLlama3(config, frequencies_);
      break;
  }
}

std::vector<float> Rotary::Frequencies(int64_t position) const {
  if (config_.rope_scaling.type != Type::kDynamic || position < TrainedLength(config_)) {
    return frequencies_;
  }
  return PlainFrequencies(DynamicBase(config_, position + 1), config_.head_dim);
}

void Rotary::FillAngles(int64_t position, float* angles) const {
  const bool stretched =
      config_.rope_scaling.type == Type::kDynamic && position >= TrainedLength(config_);
  std::vector<float> own;
  if (stretched) own = Frequencies(position);
  const std::vector<float>& frequencies = stretched ? own : frequencies_;
  const size_t half = frequencies.size();
  for (size_t i = 0; i < half; ++i) {
    const double angle = static_cast<float>(position) * frequencies[i];
    angles[i] = static_cast<float>(std::cos(angle)) * magnitude_;
    angles[i + half] = static_cast<float>(std::sin(angle)) * magnitude_;
  }
}

}  // namespace layercake
