#include "native/cli/yaml_tree.h"

#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/exceptions.h>
#include <yaml-cpp/parser.h>

#include <algorithm>
#include <map>
#include <sstream>
#include <utility>

namespace es::cli {
namespace {

// Thrown through yaml-cpp to stop it; never leaves this file.
struct Stop {
  YamlError error;
};

// Builds the tree from yaml-cpp's events. (Its own node graph is not used: it forgets which of two
// equal keys came first, and shares aliased nodes, which makes a walk exponential.)
class TreeBuilder : public YAML::EventHandler {
 public:
  YamlNode take() { return std::move(root_); }

  void OnDocumentStart(const YAML::Mark&) override {}
  void OnDocumentEnd() override {}

  void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    place(node(YamlNode::Kind::kNull, mark), anchor);
  }

  void OnAlias(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    const auto found = anchors_.find(anchor);
    if (found == anchors_.end()) stop(mark, "this alias refers to a node that contains it");
    YamlNode copy = found->second;
    charge(copy, mark);
    copy.line = mark.line + 1;
    copy.column = mark.column + 1;
    place(std::move(copy), 0);
  }

  void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                const std::string& value) override {
    if (tag != "?" && tag != "!" && tag != "tag:yaml.org,2002:str") {
      stop(mark, "tags are not accepted here");
    }
    const bool control = std::any_of(value.begin(), value.end(), [](char c) {
      return (static_cast<unsigned char>(c) < 0x20 && c != '\n' && c != '\t') || c == 0x7f;
    });
    if (control) stop(mark, "a control character");
    YamlNode scalar = node(YamlNode::Kind::kScalar, mark);
    scalar.quoted = tag != "?";
    if (!scalar.quoted && (value == "~" || value == "null" || value == "Null" || value == "NULL")) {
      scalar.kind = YamlNode::Kind::kNull;
    } else {
      scalar.text = value;
    }
    place(std::move(scalar), anchor);
  }

  void OnSequenceStart(const YAML::Mark& mark, const std::string&, YAML::anchor_t anchor,
                       YAML::EmitterStyle::value) override {
    open(node(YamlNode::Kind::kList, mark), anchor, mark);
  }
  void OnSequenceEnd() override { close(); }

  void OnMapStart(const YAML::Mark& mark, const std::string&, YAML::anchor_t anchor,
                  YAML::EmitterStyle::value) override {
    open(node(YamlNode::Kind::kMap, mark), anchor, mark);
  }
  void OnMapEnd() override { close(); }

 private:
  struct Open {
    YamlNode node;
    YAML::anchor_t anchor;
    bool has_key = false;  // kMap: `key` waits for its value
    YamlEntry key;
  };

  [[noreturn]] static void stop(const YAML::Mark& mark, std::string reason) {
    throw Stop{{mark.line + 1, mark.column + 1, std::move(reason)}};
  }

  YamlNode node(YamlNode::Kind kind, const YAML::Mark& mark) {
    if (++nodes_ > kMaxYamlNodes) stop(mark, "more than 20000 values");
    YamlNode n;
    n.kind = kind;
    n.line = mark.line + 1;
    n.column = mark.column + 1;
    return n;
  }

  void charge(const YamlNode& n, const YAML::Mark& mark) {
    // An alias may copy long texts as well as many nodes.
    nodes_ += 1 + n.text.size() / 256;
    if (nodes_ > kMaxYamlNodes) stop(mark, "aliases expand to more than 20000 values");
    for (const YamlNode& item : n.items) charge(item, mark);
    for (const YamlEntry& entry : n.entries) charge(entry.value, mark);
  }

  void open(YamlNode n, YAML::anchor_t anchor, const YAML::Mark& mark) {
    if (stack_.size() >= kMaxYamlDepth) stop(mark, "nested deeper than 16 levels");
    stack_.push_back({std::move(n), anchor, false, {}});
  }

  void close() {
    Open done = std::move(stack_.back());
    stack_.pop_back();
    place(std::move(done.node), done.anchor);
  }

  void place(YamlNode n, YAML::anchor_t anchor) {
    if (anchor != 0) anchors_[anchor] = n;
    if (stack_.empty()) {
      root_ = std::move(n);
      return;
    }
    Open& top = stack_.back();
    if (top.node.kind == YamlNode::Kind::kList) {
      top.node.items.push_back(std::move(n));
    } else if (top.has_key) {
      top.key.value = std::move(n);
      top.node.entries.push_back(std::move(top.key));
      top.key = {};
      top.has_key = false;
    } else {
      take_key(top, n);
    }
  }

  void take_key(Open& map, const YamlNode& key) {
    const auto refuse_key = [&](const char* why) { throw Stop{{key.line, key.column, why}}; };
    if (key.kind != YamlNode::Kind::kScalar) refuse_key("a key must be plain text");
    if (key.text == "<<" && !key.quoted) {
      refuse_key("merge keys (<<) are not supported: write the keys out");
    }
    for (const YamlEntry& entry : map.node.entries) {
      if (entry.key == key.text) {
        throw Stop{{key.line, key.column,
                    "the key \"" + key.text + "\" is already given in line " +
                        std::to_string(entry.line)}};
      }
    }
    map.key.key = key.text;
    map.key.line = key.line;
    map.key.column = key.column;
    map.has_key = true;
  }

  YamlNode root_;
  std::vector<Open> stack_;
  std::map<YAML::anchor_t, YamlNode> anchors_;
  size_t nodes_ = 0;
};

// Tabs are the commonest mistake, and yaml-cpp's words for them ("illegal map value") the poorest.
bool is_indented_with_tab(std::string_view text, int line) {
  for (; line > 0 && !text.empty(); --line) {
    text.remove_prefix(std::min(text.find('\n'), text.size() - 1) + 1);
  }
  const size_t first = text.find_first_not_of(' ');
  return first != std::string_view::npos && text[first] == '\t';
}

YamlError syntax_error(std::string_view text, const YAML::Exception& e) {
  if (is_indented_with_tab(text, e.mark.line)) {
    return {e.mark.line + 1, 1, "a tab: YAML is indented with blanks alone"};
  }
  return {e.mark.line + 1, e.mark.column + 1, "not valid YAML: " + e.msg};
}

}  // namespace

Result<YamlNode, YamlError> parse_yaml(std::string_view text) {
  if (text.size() > kMaxYamlBytes) return YamlError{0, 0, "larger than 256 KiB"};
  std::istringstream stream{std::string(text)};
  TreeBuilder builder;
  try {
    YAML::Parser parser(stream);
    if (!parser.HandleNextDocument(builder)) return YamlNode{};
    TreeBuilder second;
    if (parser.HandleNextDocument(second)) return YamlError{0, 0, "more than one YAML document"};
  } catch (const Stop& stop) {
    return stop.error;
  } catch (const YAML::Exception& e) {
    return syntax_error(text, e);
  } catch (const std::exception&) {
    return YamlError{0, 0, "not valid YAML"};
  }
  return builder.take();
}

}  // namespace es::cli
