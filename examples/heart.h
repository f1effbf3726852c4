// A small neural network and the patients that it learns from: 270 of the Statlog heart disease data, as Debian's
// liblinear-tools ships them (a line each: "+1 1:0.708 2:1 ...").
#pragma once

#include <cmath>
#include <cstddef>
#include <fstream>
#include <span>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

struct Patient {
  double features[13] = {};
  double ill = 0;  // 1 or 0.
};

inline std::vector<Patient> read_patients(const std::string& path) {
  std::vector<Patient> out;
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) {
    std::istringstream words(line);
    double label = 0, value = 0;
    std::size_t feature = 0;
    char colon = 0;
    words >> label;
    Patient patient;
    while (words >> feature >> colon >> value) patient.features[feature - 1] = value;
    patient.ill = label > 0 ? 1 : 0;
    out.push_back(patient);
  }
  if (out.empty()) throw std::runtime_error("no patients in " + path + " (Debian: apt install liblinear-tools)");
  return out;
}

// 13 inputs, 8 hidden units (tanh), the probability of being ill.
struct Network {
  static constexpr std::size_t kIn = 13, kHidden = 8, kUnit = kIn + 1, kWeights = kHidden * kUnit + kHidden + 1;
  std::vector<double> weights = std::vector<double>(kWeights);

  Network() {
    for (std::size_t i = 0; i < kWeights; ++i) weights[i] = 0.3 * std::sin(static_cast<double>(7 * i + 1));
  }
  double hidden(const Patient& patient, std::size_t unit) const {
    const double* w = &weights[unit * kUnit];
    double sum = w[kIn];
    for (std::size_t i = 0; i < kIn; ++i) sum += w[i] * patient.features[i];
    return std::tanh(sum);
  }
  double ill(const Patient& patient) const {
    const double* w = &weights[kHidden * kUnit];
    double sum = w[kHidden];
    for (std::size_t h = 0; h < kHidden; ++h) sum += w[h] * hidden(patient, h);
    return 1 / (1 + std::exp(-sum));
  }
  // Adds the gradient of the cross-entropy of one patient.
  void add_gradient(const Patient& patient, std::span<double> gradient) const {
    const double error = ill(patient) - patient.ill;
    const std::size_t top = kHidden * kUnit;
    gradient[top + kHidden] += error;
    for (std::size_t h = 0; h < kHidden; ++h) {
      const double value = hidden(patient, h);
      gradient[top + h] += error * value;
      const double back = error * weights[top + h] * (1 - value * value);
      for (std::size_t i = 0; i < kIn; ++i) gradient[h * kUnit + i] += back * patient.features[i];
      gradient[h * kUnit + kIn] += back;
    }
  }
  void step(std::span<const double> gradient, double rate) {
    for (std::size_t i = 0; i < kWeights; ++i) weights[i] -= rate * gradient[i];
  }
  int right(std::span<const Patient> patients) const {
    int count = 0;
    for (const Patient& p : patients) count += (ill(p) > 0.5) == (p.ill > 0.5) ? 1 : 0;
    return count;
  }
};
