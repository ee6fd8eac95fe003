#include "coordinator/placement/anneal.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <random>
#include <utility>

namespace layercake {
namespace {

constexpr double kCoolest = 0.01;
constexpr double kRounding = 1e-9;
// One in so many estimates tries other numbers of sequences.
constexpr size_t kRarely = 8;
// One in so many moves goes anywhere, the others to where a device of the same port is.
constexpr size_t kSeldom = 5;
// So many devices are looked at for one to exchange.
constexpr int kLooks = 64;

class Annealing {
 public:
  Annealing(PipelineEstimator& estimator, const AnnealOptions& options,
            std::vector<EstimatedPipeline> pipelines, const std::vector<int>& free)
      : estimator_(estimator),
        options_(options),
        pipelines_(std::move(pipelines)),
        nowhere_(pipelines_.size()) {
    for (size_t i = 0; i < pipelines_.size(); ++i) Place(pipelines_[i].devices, i);
    Place(free, nowhere_);
    for (size_t i = 0; i < places_.size(); ++i) {
      of_port_[estimator_.port(places_[i].device)].push_back(i);
    }
    tokens_per_second_ = best_tokens_per_second_ = TokensPerSecond(pipelines_);
    best_ = pipelines_;
  }

  std::vector<EstimatedPipeline> Run() {
    const int64_t begin = estimator_.count();
    // Where there is one place to be in, nothing moves.
    if (places_.size() < 2 || pipelines_.empty()) return best_;
    const double hottest = options_.heat * tokens_per_second_ / static_cast<double>(places_.size());
    int64_t made = 0;
    // Moves that lead nowhere count too.
    for (int64_t tries = 0; made < options_.estimates && tries < options_.estimates; ++tries) {
      const double progress = static_cast<double>(made) / static_cast<double>(options_.estimates);
      temperature_ = hottest * std::pow(kCoolest, progress);
      Try();
      made = estimator_.count() - begin;
    }
    return best_;
  }

 private:
  struct Placed {
    int device;
    size_t where;  // a pipeline, or nowhere
  };

  void Place(const std::vector<int>& devices, size_t where) {
    for (const int device : devices) places_.push_back({device, where});
  }

  // Where a device is to go, and which it is to exchange with, or none.
  struct Move {
    size_t to;
    Placed* other = nullptr;
  };

  Move Anywhere() {
    if (Draw(2) != 0) return {.to = Draw(pipelines_.size() + 1)};
    Placed& other = places_[Draw(places_.size())];
    return {.to = other.where, .other = &other};
  }

  // Devices of a port that are together take fewer of the slow links. It is exchanged for a device
  // of its kind, if one is come upon, of another port.
  Move ToItsPort(const Placed& one) {
    const int port = estimator_.port(one.device);
    const std::vector<size_t>& of_port = of_port_.at(port);
    Move move = {.to = places_[of_port[Draw(of_port.size())]].where};
    if (move.to == one.where || Draw(2) != 0) return move;
    for (int i = 0; i < kLooks; ++i) {
      Placed& other = places_[Draw(places_.size())];
      if (other.where != move.to || estimator_.port(other.device) == port) continue;
      if (move.other == nullptr) move.other = &other;
      if (estimator_.kind(other.device) != estimator_.kind(one.device)) continue;
      move.other = &other;
      break;
    }
    return move;
  }

  size_t Draw(size_t count) { return random_() % count; }

  // A device goes to another pipeline, or changes places with another device.
  void Try() {
    Placed& one = places_[Draw(places_.size())];
    const auto [to, other] = Draw(kSeldom) == 0 ? Anywhere() : ToItsPort(one);
    const size_t from = one.where;
    if (from == to) return;
    const bool sizes = Draw(kRarely) == 0;
    EstimatedPipeline left;
    EstimatedPipeline entered;
    double gain = 0;
    if (from != nowhere_) gain += Change(from, one.device, other ? other->device : -1, sizes, left);
    if (to != nowhere_) gain += Change(to, other ? other->device : -1, one.device, sizes, entered);
    if (options_.keep_all && (Stops(from, left) || Stops(to, entered))) return;
    const double chance = static_cast<double>(random_()) / static_cast<double>(random_.max());
    if (gain < 0 && (temperature_ <= 0 || std::exp(gain / temperature_) < chance)) return;
    if (from != nowhere_) pipelines_[from] = std::move(left);
    if (to != nowhere_) pipelines_[to] = std::move(entered);
    one.where = to;
    if (other != nullptr) other->where = from;
    tokens_per_second_ += gain;
    if (tokens_per_second_ <= best_tokens_per_second_ * (1 + kRounding)) return;
    best_tokens_per_second_ = tokens_per_second_;
    best_ = pipelines_;
  }

  bool Stops(size_t which, const EstimatedPipeline& changed) const {
    return which != nowhere_ && changed.tokens_per_second <= 0 &&
           pipelines_[which].tokens_per_second > 0;
  }

  // The pipeline without one device and with another (-1: none), and what it gains.
  double Change(size_t which, int without, int with, bool sizes, EstimatedPipeline& changed) {
    changed = pipelines_[which];
    if (without >= 0) changed.devices.erase(std::ranges::find(changed.devices, without));
    if (with >= 0) changed.devices.push_back(with);
    if (sizes) {
      estimator_.EstimateBest(changed, /*all=*/false);
    } else {
      estimator_.Estimate(changed);
    }
    return changed.tokens_per_second - pipelines_[which].tokens_per_second;
  }

  PipelineEstimator& estimator_;
  const AnnealOptions options_;
  std::mt19937 random_;
  std::vector<EstimatedPipeline> pipelines_;
  const size_t nowhere_;
  std::vector<Placed> places_;
  std::map<int, std::vector<size_t>> of_port_;  // places
  double tokens_per_second_ = 0;
  double temperature_ = 0;
  std::vector<EstimatedPipeline> best_;
  double best_tokens_per_second_ = 0;
};

}  // namespace

void Anneal(PipelineEstimator& estimator, const AnnealOptions& options,
            std::vector<EstimatedPipeline>& pipelines, std::vector<int> free) {
  pipelines = Annealing(estimator, options, std::move(pipelines), free).Run();
}

double TokensPerSecond(const std::vector<EstimatedPipeline>& pipelines) {
  double sum = 0;
  for (const EstimatedPipeline& pipeline : pipelines) sum += pipeline.tokens_per_second;
  return sum;
}

}  // namespace layercake
