// Launches recorded once, that any plan of a session's budget goes through.
#pragma once
#include "session.h"

namespace isochron {

/** Launches recorded once; any plan of the session's budget can be replayed through them. */
class Graph {
 public:
  static std::shared_ptr<Graph> capture(std::shared_ptr<Session> session, std::vector<Binding> bindings, bool dependent);
  ~Graph();
  bool upload(const int32_t* plan, size_t bytes) { return session->upload(plan, bytes, limits_); }
  void launch();

  std::shared_ptr<Session> session;

 private:
  std::vector<Binding> bindings_;
  PlanLimits limits_{};
  cudaGraphExec_t exec_ = nullptr;
};

}  // namespace isochron
