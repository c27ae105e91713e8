"""What LiteLLM's proxy configuration may say, and what becomes of it: https://docs.litellm.ai/docs/proxy/config_settings.

A key that is in no table is named to the user all the same; the tables only say why.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Provider:
    """An API that speaks OpenAI's dialect."""

    url: str = ""
    """Base URL, up to and without `/chat/completions`; empty where only `api_base` tells."""
    key: str = ""
    """Variable that LiteLLM reads the API key from where the configuration has none; empty where it needs none."""
    suffix: str = ""
    """What LiteLLM adds to `api_base`."""
    models: str = ""
    """What LiteLLM puts before a model's name."""


PROVIDERS = {
    "openai": Provider("https://api.openai.com/v1", "OPENAI_API_KEY"),
    "hosted_vllm": Provider(),
    "openai_like": Provider(),
    "custom_openai": Provider(),
    "litellm_proxy": Provider(),
    "llamafile": Provider(),
    "lm_studio": Provider(),
    "xinference": Provider(),
    "ollama": Provider(suffix="/v1"),
    "ollama_chat": Provider(suffix="/v1"),
    "cerebras": Provider("https://api.cerebras.ai/v1", "CEREBRAS_API_KEY"),
    "deepinfra": Provider("https://api.deepinfra.com/v1/openai", "DEEPINFRA_API_KEY"),
    "deepseek": Provider("https://api.deepseek.com/v1", "DEEPSEEK_API_KEY"),
    "fireworks_ai": Provider(
        "https://api.fireworks.ai/inference/v1", "FIREWORKS_AI_API_KEY", models="accounts/fireworks/models/"
    ),
    "gemini": Provider("https://generativelanguage.googleapis.com/v1beta/openai", "GEMINI_API_KEY"),
    "groq": Provider("https://api.groq.com/openai/v1", "GROQ_API_KEY"),
    "mistral": Provider("https://api.mistral.ai/v1", "MISTRAL_API_KEY"),
    "nvidia_nim": Provider("https://integrate.api.nvidia.com/v1", "NVIDIA_NIM_API_KEY"),
    "openrouter": Provider("https://openrouter.ai/api/v1", "OPENROUTER_API_KEY"),
    "perplexity": Provider("https://api.perplexity.ai", "PERPLEXITYAI_API_KEY"),
    "sambanova": Provider("https://api.sambanova.ai/v1", "SAMBANOVA_API_KEY"),
    "together_ai": Provider("https://api.together.xyz/v1", "TOGETHERAI_API_KEY"),
    "xai": Provider("https://api.x.ai/v1", "XAI_API_KEY"),
}
"""Providers by the prefix of `litellm_params.model`, whose own documentation describes an endpoint of OpenAI's dialect."""

FOREIGN = {
    "anthropic": "speaks Anthropic's dialect to its upstream",
    "azure": "has an API version in its query and a deployment in its path",
    "azure_ai": "has an API version in its query",
    "bedrock": "signs its requests with AWS keys",
    "bedrock_converse": "signs its requests with AWS keys",
    "sagemaker": "signs its requests with AWS keys",
    "sagemaker_chat": "signs its requests with AWS keys",
    "vertex_ai": "needs a token of a Google service account, renewed each hour",
    "vertex_ai_beta": "needs a token of a Google service account, renewed each hour",
    "cohere": "speaks Cohere's dialect",
    "cohere_chat": "speaks Cohere's dialect",
    "databricks": "has its endpoint's name in its path",
    "huggingface": "has a dialect for each task",
    "replicate": "speaks Replicate's dialect, by polling",
    "text-completion-openai": "is the completions API, which is not chat",
    "vllm": "runs the model within LiteLLM's process; serve it by `vllm serve`",
    "watsonx": "speaks IBM's dialect",
    "auto_router": "routes by itself; the policy `auto` takes its place",
}
"""Prefixes of what cannot be called yet, and why."""

INFERRED = (
    ("gpt-", "openai"),
    ("chatgpt-", "openai"),
    ("o1", "openai"),
    ("o3", "openai"),
    ("o4", "openai"),
    ("claude-", "anthropic"),
)
"""Providers that LiteLLM knows by the beginning of a model's name, where there is no prefix."""

STRATEGIES = {
    "simple-shuffle": "",
    "cost-based-routing": "",
    "least-busy": "calls are drawn by weight; `concurrentRequestsPerGateway` bounds those in flight",
    "latency-based-routing": "calls are drawn by weight; policy `auto` and `firstTokenWithin` look at observed latency",
    "usage-based-routing": "calls are drawn by weight, for rates of use are not counted",
    "usage-based-routing-v2": "calls are drawn by weight, for rates of use are not counted",
}
"""`router_settings.routing_strategy`: what is different, or nothing."""

_RATE = "it weighs the draw where no `weight` does, and limits nothing; `concurrentRequestsPerGateway` bounds calls in flight"
_OBSERVED = (
    "health is observed call by call: a model that fails rests for as long as its upstream asks, or 1 s, doubling to 30 s"
)
_KEYS = (
    'callers\' keys are Secrets with the label `tradewind.dev/caller-keys: "true"` (docs/kubernetes.md); this one is not copied'
)
_STORE = "there is no database: keys are Secrets, outcomes are files"
_CALLBACK = "outcomes are files of JSON Lines and Prometheus metrics; there are no callbacks"
_NO_CACHE = "answers are not cached"
_TIMES = "timeouts are a policy's, or its models'; elsewhere they have no effect"
_PARAMETER = "parameters of a call are its caller's and are passed on as they are"
_HEALTH = "there are no health checks of models; health is observed call by call"
_REDIS = "gateways share no state"
_INFORMATION = "information for people, with no effect on routing"

REASONS = {
    "rpm": _RATE,
    "tpm": _RATE,
    "order": "it stands with a deployment: the first takes the calls, the others stand in",
    "timeout": _TIMES,
    "stream_timeout": _TIMES,
    "max_retries": "attempts are a policy's (`retry.attempts`)",
    "num_retries": "attempts are a policy's (`retry.attempts`)",
    "organization": "headers of upstreams cannot be set",
    "extra_headers": "headers of upstreams cannot be set",
    "headers": "headers of upstreams cannot be set",
    "api_version": "URLs of upstreams have no query",
    "temperature": _PARAMETER,
    "max_tokens": _PARAMETER,
    "top_p": _PARAMETER,
    "extra_body": _PARAMETER,
    "frequency_penalty": _PARAMETER,
    "presence_penalty": _PARAMETER,
    "reasoning_effort": _PARAMETER,
    "response_format": _PARAMETER,
    "seed": _PARAMETER,
    "stop": _PARAMETER,
    "stream": _PARAMETER,
    "top_k": _PARAMETER,
    "drop_params": "parameters of a call are passed on as they are; none is dropped",
    "additional_drop_params": "parameters of a call are passed on as they are; none is dropped",
    "modify_params": "parameters of a call are passed on as they are",
    "tags": "use labels of models, and `constraints.models.matchLabels` of a policy",
    "supports_vision": "calls with images are refused",
    "supports_audio_input": "calls with audio are refused",
    "access_groups": "who may use a pool is said by its `allowedNamespaces`, and a policy by its `callers`",
    "team_id": "a tenant is a namespace",
    "id": _INFORMATION,
    "tier": _INFORMATION,
    "description": _INFORMATION,
    "litellm_provider": _INFORMATION,
    "allowed_fails": _OBSERVED,
    "cooldown_time": _OBSERVED,
    "disable_cooldowns": _OBSERVED,
    "retry_after": _OBSERVED,
    "enable_pre_call_checks": "always so: what a model cannot hold is not sent to it",
    "content_policy_fallbacks": "a refusal for its content is an answer, and is passed on",
    "model_group_retry_policy": "attempts are a policy's (`retry.attempts`)",
    "retry_policy": "attempts are a policy's (`retry.attempts`), for every failure that another attempt may mend",
    "redis_host": "gateways share no state",
    "redis_port": "gateways share no state",
    "redis_password": "gateways share no state; it is not copied",
    "redis_db": _REDIS,
    "redis_url": "gateways share no state; it is not copied",
    "cache": _NO_CACHE,
    "cache_params": _NO_CACHE,
    "callbacks": _CALLBACK,
    "success_callback": _CALLBACK,
    "failure_callback": _CALLBACK,
    "service_callbacks": _CALLBACK,
    "set_verbose": "`--log-level debug`",
    "json_logs": "`tradewind-gateway` always logs JSON",
    "turn_off_message_logging": "always so: prompts are stored only with `--capture text`",
    "master_key": _KEYS,
    "salt_key": _KEYS,
    "database_url": _STORE,
    "store_model_in_db": _STORE,
    "database_connection_pool_limit": _STORE,
    "store_prompts_in_spend_logs": "prompts are stored only with `--capture text`",
    "background_health_checks": _HEALTH,
    "health_check_interval": _HEALTH,
    "custom_auth": "callers are known by keys and ServiceAccount tokens (docs/kubernetes.md)",
    "enable_jwt_auth": "callers are known by keys and ServiceAccount tokens (docs/kubernetes.md)",
    "credential_list": "no model that was carried over names it; it is not copied",
    "enable_tag_filtering": "use labels of models, and `constraints.models.matchLabels` of a policy",
    "provider_budget_config": "there are no budgets yet; `constraints.maxRequestUSD` caps a call",
    "allowed_fails_policy": _OBSERVED,
    "hidden": "`/v1/models` lists every alias",
    "alerting": "alerts are Prometheus rules of the chart (`alerts.enabled`)",
    "alerting_threshold": "alerts are Prometheus rules of the chart (`alerts.enabled`)",
    "max_budget": "there are no budgets yet; `constraints.maxRequestUSD` caps a call",
    "budget_duration": "there are no budgets yet; `constraints.maxRequestUSD` caps a call",
    "max_parallel_requests": "`max_calls_in_flight` is a setting of gateways",
    "global_max_parallel_requests": "`max_calls_in_flight` is a setting of gateways",
    "guardrails": "there are no guardrails yet",
    "mcp_servers": "only chat is served",
    "pass_through_endpoints": "only chat is served",
    "files_settings": "only chat is served",
    "finetune_settings": "only chat is served",
    "include": "other files are not read: put them into one, for policies name models across files",
    "environment_variables": "put them into Secrets; they are not copied",
}
"""Why a key, wherever it stands, does not come along."""

UNKNOWN = "no counterpart is known"
CHAT = ("", "chat")
"""Modes of models that answer chat."""

AS_HERE = {
    "cache": False,
    "disable_cooldowns": False,
    "drop_params": False,
    "enable_pre_call_checks": True,
    "hidden": False,
    "json_logs": False,
    "modify_params": False,
    "set_verbose": False,
    "store_model_in_db": False,
    "supports_audio_input": False,
    "supports_vision": False,
    "turn_off_message_logging": True,
    "verbose": False,
}
"""Switches by the value that asks for what is so here anyway: nothing is lost, so nothing is said."""
