//! What each endpoint calls its parameters. Refusals that only a worker or its offer can make name them as a chat
//! completion does; a client is told in its own endpoint's words.

use super::error::ApiError;

/// Whose names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Names {
    Chat,
    Completion,
    Embedding,
    Response,
    Message,
}

impl Names {
    /// The parameter that holds the prompt.
    pub fn input(self) -> &'static str {
        match self {
            Self::Chat | Self::Message => "messages",
            Self::Completion => "prompt",
            Self::Embedding | Self::Response => "input",
        }
    }

    /// What this endpoint calls what a chat completion calls `chats`.
    fn own(self, chats: &str) -> Option<&'static str> {
        let own = match (self, chats) {
            (_, "messages") => self.input(),
            (Self::Response, "response_format") => "text.format",
            (Self::Response, "reasoning_effort") => "reasoning.effort",
            (Self::Response, "logprobs") => "top_logprobs",
            (Self::Response, "max_tokens" | "max_completion_tokens") => "max_output_tokens",
            (Self::Message, "response_format") => "output_config.format",
            (Self::Message, "reasoning_effort") => "thinking",
            (Self::Message, "stop") => "stop_sequences",
            _ => return None,
        };
        (own != chats).then_some(own)
    }

    /// The same error in this endpoint's words.
    pub fn told(self, mut error: ApiError) -> ApiError {
        let Some(param) = error.param.take() else { return error };
        // `messages[3].content` is known by its first part; an index means nothing in another shape.
        let end = param.find(['.', '[']).unwrap_or(param.len());
        let (first, rest) = param.split_at(end);
        let Some(own) = self.own(first) else { return error.param(param) };
        let quoted = format!("'{first}");
        error.message = error.message.replacen(&quoted, &format!("'{own}"), 1);
        if let Some(reason) = error.message.strip_prefix(&format!("{first}{rest}: ")) {
            error.message = format!("{own}: {reason}");
        }
        error.param(own)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(names: Names, param: &str, message: &str) -> (String, String) {
        let error = names.told(ApiError::invalid(message).param(param));
        (error.param.unwrap_or_default(), error.message)
    }

    #[test]
    fn a_refusal_names_the_parameter_as_the_client_wrote_it() {
        for (names, param, message, expected) in [
            (
                Names::Response,
                "response_format",
                "The model 'm' can't honour what is asked ('response_format'): no.",
                ("text.format", "The model 'm' can't honour what is asked ('text.format'): no."),
            ),
            (
                Names::Response,
                "messages[1].content",
                "messages[1].content: too odd",
                ("input", "input: too odd"),
            ),
            (
                Names::Message,
                "stop",
                "stop: too many",
                ("stop_sequences", "stop_sequences: too many"),
            ),
            (Names::Message, "messages", "Too long.", ("messages", "Too long.")),
            (Names::Completion, "messages", "Too long.", ("prompt", "Too long.")),
            (Names::Chat, "response_format", "no", ("response_format", "no")),
            (Names::Response, "tools", "no", ("tools", "no")),
        ] {
            let (param, message) = told(names, param, message);
            assert_eq!((param.as_str(), message.as_str()), expected, "{names:?}");
        }
        assert_eq!(Names::Response.told(ApiError::invalid("no")).param, None);
    }
}
