#pragma once

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <utility>

namespace mobula::gcs {

// Where the GCS keeps what must outlive a message: records by table and key.  One thread.
class Storage {
 public:
  virtual ~Storage() = default;
  // True when the key was new.  What put() has returned from is kept as well as this storage keeps anything.
  virtual bool put(const std::string& table, const std::string& key, std::string value) = 0;
  virtual std::optional<std::string> get(const std::string& table, const std::string& key) const = 0;
  virtual bool erase(const std::string& table, const std::string& key) = 0;
  // In the order of the keys.
  virtual void each(const std::string& table,
                    const std::function<void(const std::string& key, const std::string& value)>& visit) const = 0;
};

// Keeps everything in this process: the cluster ends with its GCS.
class MemoryStorage final : public Storage {
 public:
  bool put(const std::string& table, const std::string& key, std::string value) override {
    return tables_[table].insert_or_assign(key, std::move(value)).second;
  }
  std::optional<std::string> get(const std::string& table, const std::string& key) const override {
    const auto rows = tables_.find(table);
    if (rows == tables_.end()) return std::nullopt;
    const auto row = rows->second.find(key);
    return row == rows->second.end() ? std::nullopt : std::optional(row->second);
  }
  bool erase(const std::string& table, const std::string& key) override {
    const auto rows = tables_.find(table);
    return rows != tables_.end() && rows->second.erase(key) != 0;
  }
  void each(const std::string& table,
            const std::function<void(const std::string&, const std::string&)>& visit) const override {
    const auto rows = tables_.find(table);
    if (rows == tables_.end()) return;
    for (const auto& [key, value] : rows->second) visit(key, value);
  }

 private:
  std::map<std::string, std::map<std::string, std::string>> tables_;
};

}  // namespace mobula::gcs
