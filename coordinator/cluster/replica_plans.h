#pragma once

// A plan of several replicas taken apart into one plan for each, and put together again; and what
// is asked of a plan that is made after a loss.

#include <string>
#include <vector>

#include "layercake/v1/types.pb.h"

namespace layercake {

// The plan of each replica by itself, by number: its stages and prediction keep `replica`; the
// promises (context, batch), the gap and the number of replicas are those of `plan`.
std::vector<v1::Plan> SplitReplicas(const v1::Plan& plan);

// What all of `replicas` do together: their stages and predictions by number, of what is promised
// the least, and no gap unless they are all that was proven. The opposite of SplitReplicas.
v1::Plan JoinReplicas(const std::vector<v1::Plan>& replicas);

// `options` as far as they can be asked of `workers` alone: the order, the exclusions, the layers
// and the caps of others are dropped, and shares with an order where one is missing.
v1::PlanOptions OptionsForWorkers(v1::PlanOptions options, const std::vector<std::string>& workers);

// Asks for one replica more beside `in_force`: what it promised its clients, the context and the
// precision that answers are computed in, holds there too.
v1::PlanOptions OptionsForOneMore(v1::PlanOptions options, const v1::Plan& in_force);

}  // namespace layercake
