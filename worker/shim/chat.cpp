// llama.cpp's own chat templates (common/chat.h) behind three C functions, so that prompts equal llama-server's to the byte.
//
// Text leaves through a callback that is called exactly once: no memory is handed over, and no exception crosses into Rust.

#include "chat.h"
#include "json.h"

#include <cstddef>
#include <exception>
#include <string>

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

extern "C" {

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

// `messages` is a JSON array as in OpenAI's chat completions. The sink gets the prompt, ending where the assistant is to begin.
bool chainference_chat_apply(const common_chat_templates * templates, const char * messages, text_sink sink, void * context) {
    return deliver(sink, context, [&] {
        common_chat_templates_inputs inputs;
        inputs.messages         = common_chat_msgs_parse_oaicompat(common_json::parse(messages));
        inputs.reasoning_format = COMMON_REASONING_FORMAT_AUTO;
        return common_chat_templates_apply(templates, inputs).prompt;
    });
}
}
