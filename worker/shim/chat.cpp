// llama.cpp's own chat code (common/chat.h) behind C functions: prompts equal llama-server's to the byte, and answers are taken apart
// by the same parsers.
//
// Text leaves through a callback that is called exactly once: no memory is handed over, and no exception crosses into Rust.

#include "chat.h"
#include "json.h"
#include "json-schema-to-grammar.h"
#include "llama.h"
#include "log.h"

#include <cstddef>
#include <cstdio>
#include <exception>
#include <random>
#include <string>
#include <vector>

using text_sink = void (*)(void * context, const char * text, std::size_t bytes);

// Gives the result of `make` to the sink and returns true, or the reason of its failure and false.
template <typename F> static bool deliver(text_sink sink, void * context, F make) {
    std::string text;
    bool        ok = false;
    try {
        text = make();
        ok   = true;
    } catch (const std::exception & error) {
        text = error.what();
    } catch (...) {
        text = "unknown failure";
    }
    sink(context, text.data(), text.size());
    return ok;
}

static common_chat_templates_inputs read_inputs(const common_json & request) {
    common_chat_templates_inputs inputs;
    inputs.messages = common_chat_msgs_parse_oaicompat(request.at("messages"));
    if (request.contains("tools")) {
        inputs.tools = common_chat_tools_parse_oaicompat(request.at("tools"));
    }
    inputs.tool_choice         = common_chat_tool_choice_parse_oaicompat(request.at("tool_choice").get<std::string>());
    inputs.parallel_tool_calls = request.at("parallel_tool_calls").get<bool>();
    inputs.enable_thinking     = request.at("enable_thinking").get<bool>();
    inputs.reasoning_format    = COMMON_REASONING_FORMAT_AUTO;
    if (request.contains("json_schema")) {
        inputs.json_schema = request.at("json_schema").dump();
    }
    for (const auto & [name, value] : request.at("template_variables").items()) {
        inputs.chat_template_kwargs[name] = value.dump();
    }
    return inputs;
}

// The line of a grammar that defines its root, without its end; `at` is where it begins.
static std::string root_line(const std::string & grammar, std::size_t & at) {
    static const std::string head = "root ::=";
    at = grammar.compare(0, head.size(), head) == 0 ? 0 : grammar.find("\n" + head);
    if (at == std::string::npos) {
        throw std::runtime_error("the grammar of this model's tool calls has no root");
    }
    at += grammar[at] == '\n';
    return grammar.substr(at, grammar.find('\n', at) - at);
}

// The definition of a rule, empty if the grammar has none of that name.
static std::string rule_of(const std::string & grammar, const std::string & name) {
    const std::string head = "\n" + name + " ::= ";
    const auto        at   = ("\n" + grammar).find(head);
    if (at == std::string::npos) {
        return "";
    }
    const auto from = at + head.size() - 1;
    return grammar.substr(from, grammar.find('\n', from) - from);
}

// The root of a grammar that begins with the tool calls themselves. "tool-calls" holds "tool-call" where both are there: as its section,
// whose marks one call alone would lack, or as a repetition, which is more than was allowed if there may be one call only.
static std::string calls_root(const std::string & grammar, bool parallel) {
    const auto calls = rule_of(grammar, "tool-calls");
    const auto call  = rule_of(grammar, "tool-call");
    const bool repeats = calls.size() > 2 && calls.compare(calls.size() - 2, 2, ")+") == 0;
    if (!calls.empty() && !(repeats && !parallel && !call.empty())) {
        return "root ::= tool-calls";
    }
    return call.empty() ? "" : "root ::= tool-call";
}

// Makes a grammar begin with the tool calls: what llama.cpp makes for a required call lets prose come first. Formats with rules of other
// names tell them in the root of their lazy grammar.
static std::string calls_only(const std::string & grammar, const std::string & lazy, bool parallel) {
    std::size_t at   = 0;
    std::string root = calls_root(grammar, parallel);
    if (root.empty()) {
        root = root_line(lazy, at);
    }
    const std::string old = root_line(grammar, at);
    std::string       only = grammar;
    return only.replace(at, old.size(), root);
}

// Lets only tool calls through: all of `tools`, or the one that is named. The prompt still shows all.
static void force_calls(const common_chat_templates * templates, common_chat_templates_inputs inputs, const std::string & named, common_chat_params & params) {
    if (!named.empty()) {
        std::vector<common_chat_tool> only;
        for (const auto & tool : inputs.tools) {
            if (tool.name == named) {
                only.push_back(tool);
            }
        }
        inputs.tools = only;
    }
    inputs.tool_choice  = COMMON_CHAT_TOOL_CHOICE_REQUIRED;
    const auto required = common_chat_templates_apply(templates, inputs);
    inputs.tool_choice  = COMMON_CHAT_TOOL_CHOICE_AUTO;
    const auto lazy     = common_chat_templates_apply(templates, inputs);
    if (required.grammar.empty()) {
        throw std::runtime_error("this model's chat template has no form of tool calls that can be forced");
    }
    params.parser       = required.parser;
    params.grammar      = calls_only(required.grammar, lazy.grammar, inputs.parallel_tool_calls);
    params.grammar_lazy = false;
}

static common_json params_to_json(const common_chat_params & params) {
    auto triggers = common_json::array();
    for (const auto & trigger : params.grammar_triggers) {
        triggers.push_back(common_json{ { "kind", (int) trigger.type }, { "value", trigger.value } });
    }
    return common_json{
        { "prompt", params.prompt },
        { "format", (int) params.format },
        { "parser", params.parser },
        { "generation_prompt", params.generation_prompt },
        { "grammar", params.grammar },
        { "grammar_is_lazy", params.grammar_lazy },
        { "triggers", triggers },
        { "preserved_tokens", params.preserved_tokens },
        { "stops", params.additional_stops },
        { "thinking_start", params.thinking_start_tag },
        { "thinking_ends", params.thinking_end_tags },
    };
}

static std::string new_call_id() {
    static const char   letters[] = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    std::random_device  random;
    std::string         id = "call_";
    for (int i = 0; i < 24; i++) {
        id += letters[random() % (sizeof(letters) - 1)];
    }
    return id;
}

// One answer on its way: its text so far and what of it was shown.
struct chainference_chat_parser {
    common_chat_parser_params params;
    std::string               text;
    common_chat_msg           shown;
    std::vector<std::string>  ids;

    common_chat_msg parse(bool is_last) {
        auto message = common_chat_parse(text, !is_last, params);
        // A call is shown once its arguments begin: until then its name may still grow.
        auto & calls = message.tool_calls;
        if (!is_last && calls.size() > shown.tool_calls.size() && calls.back().arguments.empty()) {
            calls.pop_back();
        }
        for (auto & call : calls) {
            if (is_last && call.arguments.empty()) {
                call.arguments = "{}";
            }
        }
        // What was shown can't be taken back, as when white space at the end turns out to be none of the content.
        keep(shown.content, message.content);
        keep(shown.reasoning_content, message.reasoning_content);
        message.set_tool_call_ids(ids, new_call_id);
        return message;
    }

    static void keep(const std::string & before, std::string & now) {
        if (before.compare(0, now.size(), now) == 0) {
            now = before;
        }
    }

    common_json feed(const char * piece, std::size_t bytes, bool is_last) {
        text.append(piece, bytes);
        const auto message = parse(is_last);
        const auto diffs   = common_chat_msg_diff::compute_diffs(shown, message);
        shown              = message;
        auto changes       = common_json::array();
        for (const auto & diff : diffs) {
            common_json change{ { "text", diff.content_delta }, { "reasoning", diff.reasoning_content_delta } };
            if (diff.tool_call_index != std::string::npos) {
                change["index"]     = diff.tool_call_index;
                change["id"]        = diff.tool_call_delta.id;
                change["name"]      = diff.tool_call_delta.name;
                change["arguments"] = diff.tool_call_delta.arguments;
            }
            changes.push_back(change);
        }
        return changes;
    }
};

// Debug lines hold what a model writes.
static void log_without_answers(ggml_log_level level, const char * text, void *) {
    static ggml_log_level last = GGML_LOG_LEVEL_NONE;
    last = level == GGML_LOG_LEVEL_CONT ? last : level;
    if (last != GGML_LOG_LEVEL_DEBUG) {
        fputs(text, stderr);
    }
}

extern "C" {

// From here on llama.cpp logs neither prompts nor answers.
void chainference_log_without_answers() {
    llama_log_set(log_without_answers, nullptr);
    common_log_set_verbosity_thold(-1);
}

// Null, with the reason in the sink, for a template that can't be parsed. Strings end with a zero byte.
common_chat_templates * chainference_chat_new(const char * source, const char * bos, const char * eos, text_sink sink, void * context) {
    common_chat_templates * templates = nullptr;
    deliver(sink, context, [&] {
        templates = common_chat_templates_init(nullptr, source, bos, eos).release();
        return std::string();
    });
    return templates;
}

void chainference_chat_free(common_chat_templates * templates) {
    common_chat_templates_free(templates);
}

// Whether the template shows tools and calls of them.
bool chainference_chat_knows_tools(const common_chat_templates * templates) {
    auto caps = common_chat_templates_get_caps(templates);
    return caps["supports_tools"] && caps["supports_tool_calls"];
}

// `request` is a JSON object: messages and tools as in OpenAI's chat completions, and what `read_inputs` reads. The sink gets the
// prompt and how to read the answer, as `params_to_json` writes them.
bool chainference_chat_apply(const common_chat_templates * templates, const char * request, text_sink sink, void * context) {
    return deliver(sink, context, [&] {
        const auto json   = common_json::parse(request);
        const auto inputs = read_inputs(json);
        auto       params = common_chat_templates_apply(templates, inputs);
        if (inputs.tool_choice == COMMON_CHAT_TOOL_CHOICE_REQUIRED) {
            force_calls(templates, inputs, json.at("named_tool").get<std::string>(), params);
        } else if (params.grammar_lazy) {
            params.grammar = calls_only(params.grammar, params.grammar, inputs.parallel_tool_calls);
        }
        return params_to_json(params).dump();
    });
}

// The grammar of a JSON schema; fails with the reason why there is none.
bool chainference_schema_grammar(const char * schema, text_sink sink, void * context) {
    return deliver(sink, context, [&] { return json_schema_to_grammar(common_json::parse(schema)); });
}

// `parser` and `generation_prompt` as `chainference_chat_apply` gave them. Null, with the reason in the sink, for what is none.
chainference_chat_parser * chainference_parser_new(int format, const char * parser, const char * generation_prompt, text_sink sink, void * context) {
    chainference_chat_parser * made = nullptr;
    deliver(sink, context, [&] {
        auto fresh                     = std::make_unique<chainference_chat_parser>();
        fresh->params.format            = (common_chat_format) format;
        fresh->params.generation_prompt = generation_prompt;
        fresh->params.reasoning_format  = COMMON_REASONING_FORMAT_AUTO;
        if (*parser != 0) {
            fresh->params.parser.load(parser);
        }
        made = fresh.release();
        return std::string();
    });
    return made;
}

void chainference_parser_free(chainference_chat_parser * parser) {
    delete parser;
}

// Takes the next piece of the answer; the sink gets a JSON array of what became certain. After a failure the text is kept and what was
// shown stays shown: the next piece tries again.
bool chainference_parser_feed(chainference_chat_parser * parser, const char * piece, std::size_t bytes, bool is_last, text_sink sink, void * context) {
    return deliver(sink, context, [&] { return parser->feed(piece, bytes, is_last).dump(); });
}
}
