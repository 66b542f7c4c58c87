"""The wordings and codes by which providers say what a status does not; each beside who uses it.

A pattern is matched without case, against a message from which repetitions of the request were cut. It must fit what
the endpoint states, never a mere mention: "content policy" alone may be a topic of the prompt. It is a text, which `re`
compiles when the first error is judged: together they take longer than any other module of a start.
"""

from __future__ import annotations

__all__ = [
    "ACCOUNT",
    "ACCOUNT_CODES",
    "BUSY_CODES",
    "FILTERED",
    "FILTER_CODES",
    "FORMAT",
    "FORMAT_CODES",
    "KEY",
    "KEY_CODES",
    "NO_ENDPOINT",
    "NO_JSON_CODES",
    "NO_MODEL",
    "NO_MODEL_CODES",
    "PURSE",
    "PURSE_CODES",
    "RATE",
    "RATE_CODES",
    "STREAM_FIELD",
    "STREAM_OPTIONS",
    "TOO_LARGE",
    "TOO_LARGE_CODES",
    "TOO_LONG",
    "TOO_LONG_CODES",
]


def _any(*patterns: str) -> str:
    return "|".join(patterns)


TOO_LONG_CODES = frozenset(
    {
        "context_length_exceeded",  # OpenAI, Groq, Cerebras
        "exceed_context_size_error",  # llama.cpp
        "tokens_too_long",  # Baidu, UCloud
        "1261",  # ZhipuAI
    }
)
TOO_LONG = _any(
    r"exceeds maximum input length",  # DeepInfra
    # As OpenAI, vLLM, SGLang, DeepSeek, Mistral, OpenRouter and Fireworks say it, and xAI of a prompt
    r"max(imum)? (context|prompt|model) (length|window|size)",
    # As Anthropic, MiniMax, llama.cpp, Ollama, SGLang and Together say it
    r"(exceed|over|larger than|longer than|greater than|beyond|less than|too (long|large) for)[^.]{0,80}"
    r"context (length|window|size|limit)",
    r"context (length|window|size|limit)[^.]{0,40}(exceed|overflow|too small)",
    r"context the overflows|reached context length|tokens to keep from the initial prompt",  # LM Studio
    r"inputs?` tokens \+ `max_new_tokens` must be|`inputs` must have less than",  # TGI, Together
    r"prompt plus max_tokens",  # Together
    r"(prompt|input|request) (is |was )?too long",  # Anthropic, Bedrock, Fireworks, Baidu, proxies
    r"token count[^.]{0,60}exceeds",  # Gemini, SGLang
    r"exceeded model token limit",  # Moonshot
    r"too many tokens(?!,? (per|please|processed))",  # Cohere; Bedrock and Cerebras say it of a rate
    r"range of input length should be",  # DashScope
    r"larger than the model input length",  # MLC
    r"prompt length[^.]{0,20}exceed",  # TensorRT-LLM
    r"reduce the length of (the |your )?(messages?|prompt|input|completion)",  # OpenAI, Groq, Cerebras
    r"超长",  # ZhipuAI
)

TOO_LARGE_CODES = frozenset({"request_too_large", "tokens_limit_reached"})  # Anthropic; GitHub Models
TOO_LARGE = _any(
    r"request (is |body )?too large",  # OpenAI, Groq, GitHub Models
    r"extra usage is required for long context|long context[^.]{0,60}not (yet )?(available|enabled)",  # Anthropic
    r"reduce your message size",  # Groq
)

FILTER_CODES = frozenset(
    {
        "content_filter",  # Azure, Moonshot
        "content_policy_violation",  # OpenAI, LiteLLM
        "contentpolicyviolationerror",  # LiteLLM
        "responsibleaipolicyviolation",  # Azure
        "moderation_blocked",  # OpenAI
        "data_inspection_failed",  # DashScope
        "datainspectionfailed",  # DashScope
        "1301",  # ZhipuAI
        "base_resp.1026",  # MiniMax, input
        "base_resp.1027",  # MiniMax, output
        "censorship_blocked",  # StepFun
        "sensitivecontentdetected",  # Volcengine
        "inputtextsensitivecontentdetected",  # Volcengine
        "outputtextsensitivecontentdetected",  # Volcengine
        "prohibited_content",  # Gemini
    }
)
FILTERED = _any(
    r"content management policy",  # Azure
    r"(by|due to|triggered)( the| our)? content[ _]filter|content filtering policy",  # Azure, Anthropic, Bedrock
    # As xAI ("Content violates usage guidelines"), OpenAI, Vertex and LiteLLM say it
    r"(violat|against our|breach)\w*[^.]{0,60}(polic(y|ies)|guidelines|practices)",
    r"safety_check",  # xAI
    # As OpenRouter says it ("your input was flagged"), and OpenAI ("flagged as potentially violating")
    r"^flagged\b|flagged (as|for|by)\b|(input|prompt|request|message|content|output)s? (was|were|has been) flagged",
    r"(rejected|blocked|refused)[^.]{0,40}(safety|moderation|guardrail)",  # OpenAI, Databricks
    r"content exists risk",  # DeepSeek
    r"(inappropriate|sensitive) content|sensitive (chat|words)",  # DashScope, Vertex, UCloud
    r"new_sensitive",  # MiniMax
    r"content you provided[^.]{0,60}blocked",  # StepFun
    r"considered high[- ]risk",  # Moonshot
    r"敏感|不安全",  # ZhipuAI
)

PURSE_CODES = frozenset(
    {
        "insufficient_quota",  # OpenAI
        "billing_hard_limit_reached",  # OpenAI
        "billing_not_active",  # OpenAI
        "access_terminated",  # OpenAI
        "exceeded_current_quota_error",  # Moonshot
        "billing_error",  # Anthropic
        "arrearage",  # DashScope
        "prepaidbilloverdue",  # DashScope
        "postpaidbilloverdue",  # DashScope
        "allocationquota.freetieronly",  # DashScope
        "accountoverdueerror",  # Volcengine
        "budget_exceeded",  # LiteLLM
        "insufficient_balance",  # Novita
        "insufficient_balance_error",  # MiniMax
        "base_resp.1008",  # MiniMax
        "insufficient_credits",  # Groq, Vercel
        "insufficient_funds",  # Vercel
        "blocked_api_access",  # Groq
        "insufficient_user_quota",  # One API
        "pre_consume_token_quota_failed",  # One API
        "1113",  # ZhipuAI
        "not_enough_balance",  # Novita
        "setlimitexceeded",  # Volcengine: the account's own limit; the service is paused
    }
)
PURSE = _any(
    r"credit balance is too low|reached your specified api usage limits",  # Anthropic
    r"insufficient (account |user )?(balance|credits?|funds|quota)",  # DeepSeek, MiniMax, OpenRouter, One API
    r"not enough (balance|credits?|funds|quota)",  # Novita
    r"\b(no|any) (more )?credits?( or licenses)? (left|yet|remaining|available)",  # xAI
    r"payment required|(subscription|(free|trial) (trial|period)|plan) has (ended|expired)",
    r"(exceeded|reached|used up|exhausted) (your |the |its )?(monthly|weekly) (usage )?(quota|limit|allowance)",
    r"exhausted its free trial quota|reached the set inference limit",  # Volcengine
    r"(balance|credits?|token quota) (is |are )?(insufficient|not enough|exhausted|depleted)",  # One API, Novita
    r"out of credits|used all available credits|exceeded your monthly included credits",  # Venice, xAI, Hugging Face
    r"(spending|spend|billing)( hard)? (limit|cap)[^.]{0,40}(reached|exceeded)",  # OpenAI, Groq
    r"(reached|exceeded|hit)[^.]{0,40}(spending|spend|billing)( hard)? (limit|cap)",  # xAI, Gemini
    r"budget has been exceeded|exceededbudget",  # LiteLLM
    r"key limit exceeded",  # OpenRouter
    r"make sure your account is in good standing|free tier of the model has been exhausted|"
    r"free (allocated )?quota (has been )?(exceeded|exhausted)",  # DashScope
    r"overdue (payment|balance)|in arrears",  # Volcengine, Alibaba
    r"account is not active, please check your billing",  # OpenAI
    r"limited to [\d,]+ api calls / month",  # Cohere's trial keys
    r"quota exceeded for metric:[^\n]{0,200}limit: 0\b(?![.\d])",  # Gemini: not in this plan at all
    r"余额不足|欠费|额度(不足|已用尽)",  # ZhipuAI, One API
)

ACCOUNT_CODES = frozenset(
    {
        "organization_restricted",  # Groq
        "account_deactivated",  # OpenAI
        "account_suspended",  # Fireworks
        "consumer_suspended",  # Google
        "billing_disabled",  # Google
        "service_disabled",  # Google
        "1112",  # ZhipuAI
    }
)
# OpenAI ("your account has been flagged"), Groq ("organization has been restricted"), Anthropic ("this organization has
# been disabled"), Google ("consumer … has been suspended")
ACCOUNT = _any(
    r"(country, region, or territory|user location is) not supported",  # OpenAI, Gemini
    r"\b(account|organi[sz]ation|workspace|project|team|consumer)\b[\w\s,':-]{0,40}\b(has been|is|was) (\w+ )?"
    r"(flagged|suspended|deactivated|disabled|blocked|banned|restricted|terminated|locked|closed)\b",
)

KEY_CODES = frozenset(
    {
        "invalid_api_key",  # OpenAI
        "invalidapikey",  # DashScope
        "api_key_invalid",  # Gemini
        "api_key_expired",  # Gemini
        "api_key_service_blocked",  # Google
        "invalid_authentication_error",  # Moonshot
        "unauthenticated",  # Google
        "base_resp.1004",  # MiniMax
        "base_resp.2049",  # MiniMax
    }
)
KEY = _any(
    r"api[ _-]?key (is )?(not valid|invalid|expired|not found|disabled|revoked)",  # Gemini
    r"api[ _-]?key has (expired|been (revoked|disabled|deleted))",
    r"key based authentication is disabled",  # Azure
    r"access token (is )?(invalid|expired)",  # Baidu
    r"(invalid|incorrect|expired|revoked|missing) (api[ _-]?key|access token|bearer token)",  # OpenAI, MiniMax
)

NO_MODEL_CODES = frozenset(
    {
        "model_not_found",  # OpenAI
        "invalid_model",  # Mistral, Perplexity
        "model_not_supported",  # Hugging Face
        "1211",  # ZhipuAI
    }
)
NO_MODEL = _any(
    r"\bmodel (does )?not exist",  # DeepSeek, SiliconFlow
    r"is not a valid model",  # OpenRouter
    r"invalid model( name|:)",  # LiteLLM, Mistral
    r"model [`'\"][^`'\"]{1,200}[`'\"] (does not exist|(was |is )?not (found|supported by any))",  # OpenAI
    r"模型不存在",  # ZhipuAI
)

# What a server says that is asked at a wrong address
NO_ENDPOINT = _any(
    r"unexpected endpoint or method",  # LM Studio, with 200
    # nginx; Go, and with it Caddy and Traefik; Apache; Tomcat: TLS is spoken at this port
    r"plain HTTP request was sent to HTTPS port|sent an HTTP request to an HTTPS server",
    r"speaking plain HTTP to an SSL-enabled|combination of host and port requires TLS",
)

FORMAT_CODES = frozenset(
    {
        "invalid_json_schema",  # OpenAI, of a schema that its strict mode does not take
        "unsupported_response_format",
    }
)
NO_JSON_CODES = frozenset({"json_validate_failed"})  # Groq: what the model wrote is not JSON of the schema
# A rule that this decides takes effect only for a request which has a `response_format`.
FORMAT = _any(
    # As OpenAI ("'response_format' of type 'json_schema' is not supported with this model"), DeepSeek ("This
    # response_format type is unavailable now"), Groq, vLLM, DeepInfra, TGI, llama.cpp, LM Studio and Azure say it
    r"response[_ ]format\b",
    r"\bjson.(schema|mode|object)\b[^.]{0,60}(not |un)(supported|available|enabled|allowed|implemented)",  # Together
    r"(not |n't |un)support(ed|s)?\b[^.]{0,60}(json.(schema|mode|object)|structured outputs?|guided json)",
    r"structured outputs?[^.]{0,60}(not |un)(supported|available|enabled|allowed)",  # Bedrock, Perplexity
    r"generation_?config\.response_(json_)?schema",  # Gemini, of keywords that it does not know
    r"unsupported json schema|json schema[^.]{0,40}(unsupported|invalid|not valid)",  # Cerebras, Fireworks
    r"must contain the word '?\"?json",  # OpenAI, Groq, of `json_object`
)

RATE_CODES = frozenset(
    {
        "rate_limit_exceeded",  # OpenAI
        "rate_limit_error",  # Anthropic
        "rate_limited",
        "too_many_requests",
        "resource_exhausted",  # Gemini
        "throttlingexception",  # Bedrock
        "throttling",  # DashScope
        "throttling.ratequota",  # DashScope
        "throttling.allocationquota",  # DashScope
        "1302",  # ZhipuAI
        "1303",  # ZhipuAI
        "1305",  # ZhipuAI
    }
)
RATE = _any(
    r"rate[ -]?limit[^.]{0,40}(exceeded|reached|hit)|(exceed|reached|hit)[^.]{0,60}rate[ -]?limit",
    r"too many requests|(requests|tokens) per (second|min|minute|hour|day)\b|\b[tr]p[md]\b|throttled",
)

# OpenAI and New API ("Unknown parameter: 'stream_options'"), Azure ("Extra parameters ['stream_options'] are not
# allowed", "Validation error at #/stream_options"), Mistral ("body.stream_options.include_usage: Extra inputs are not
# permitted"). A mention is enough: whether that is what was refused, the same request without it shows.
STREAM_FIELD = "stream_options"
STREAM_OPTIONS = _any(r"\bstream_options\b|\binclude_usage\b")

BUSY_CODES = frozenset(
    {
        "engine_overloaded",  # DeepInfra
        "engine_overloaded_error",  # Moonshot
        "slow_down",  # OpenAI
        "overloaded_error",  # Anthropic
        "overloaded",  # TGI
        "model_overloaded",
        "serviceunavailable",  # Bedrock
        "unavailable",  # Gemini
    }
)
