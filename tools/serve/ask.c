/* ask.c - a request read, checked and handed to the engine; see ask.h. */
#define _DEFAULT_SOURCE // getentropy
#include "tools/serve/ask.h"

#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* ---- what would be ignored, and must not be in silence ---- */

static bool check_unsupported(const json_t *o, size_t n, struct fault *f)
{
    static const char *const words[] = {"suffix",
                                        "presence_penalty",
                                        "frequency_penalty",
                                        "logit_bias",
                                        "min_p",
                                        "stop_token_ids",
                                        "min_tokens",
                                        "ignore_eos",
                                        "prompt_logprobs",
                                        "tools",
                                        "tool_choice",
                                        "functions",
                                        "function_call",
                                        "chat_template",
                                        "chat_template_kwargs",
                                        "audio",
                                        "truncate_prompt_tokens",
                                        "continue_final_message",
                                        "guided_json",
                                        "guided_regex",
                                        "guided_choice",
                                        "structured_outputs",
                                        "include_stop_str_in_output",
                                        "return_token_ids",
                                        "use_beam_search",
                                        "logits_processors",
                                        "prompt_embeds",
                                        "echo_prompt",
                                        "documents",
                                        "bad_words",
                                        "allowed_token_ids",
                                        "guided_grammar",
                                        "grammar",
                                        "json_schema",
                                        "return_tokens_as_token_ids",
                                        NULL};
    for (size_t i = 0; words[i]; i++) {
        if (!field_asks(o, words[i])) { continue; }
        return fault_set(f, 400, "unsupported_parameter", words[i],
                         "'%s' is not supported by this server", words[i]);
    }
    if (json_is_false(json_object_get(o, "skip_special_tokens"))) {
        return fault_set(f, 400, "unsupported_parameter", "skip_special_tokens",
                         "skip_special_tokens must be true: this server leaves them out");
    }
    const json_t *format = json_object_get(o, "response_format");
    const char *type = json_string_value(json_object_get(format, "type"));
    if (field_asks(o, "response_format") && (!type || strcmp(type, "text") != 0)) {
        return fault_set(f, 400, "unsupported_parameter", "response_format",
                         "response_format must be {\"type\": \"text\"}: this server enforces no "
                         "other");
    }
    size_t best = n;
    if (!field_size(&best, o, "best_of", 0, ASK_MOST_CHOICES, f)) { return false; }
    if (best > n) {
        return fault_set(f, 400, "unsupported_parameter", "best_of",
                         "best_of above n is not supported by this server");
    }
    return true;
}

/* ---- prompts ---- */

static bool add_prompt(struct ask *a, size_t i, const struct lorac_ids *ids, struct fault *f)
{
    size_t most = engine_length(a->s->engine);
    if (ids->n == 0) {
        return fault_set(f, 400, NULL, a->chat ? "messages" : "prompt", "a prompt has no token");
    }
    size_t room = a->call.choice[i * a->samples].o.max_tokens == 0 ? 0 : 1;
    if (ids->n + room > most) {
        return fault_set(f, 400, "context_length_exceeded", a->chat ? "messages" : "prompt",
                         "a prompt of %zu tokens, but prompt and answer have %zu together%s",
                         ids->n, most, ids->n == most ? " (max_tokens 0 asks for no answer)" : "");
    }
    for (size_t k = 0; k < a->samples; k++) {
        struct choice *c = &a->call.choice[i * a->samples + k];
        struct lorac_err err = {0};
        for (size_t t = 0; t < ids->n; t++) {
            if (lorac_ids_add(&c->seen, ids->at[t], &err)) {
                return fault_of(f, 400, NULL, "prompt", &err);
            }
        }
        c->n_prompt = ids->n;
        if (c->o.max_tokens > most - ids->n) { c->o.max_tokens = most - ids->n; }
    }
    return true;
}

/* One prompt: a text, or a list of ids. */
static bool read_prompt(struct ask *a, size_t i, const json_t *v, bool special, struct fault *f)
{
    struct lorac_ids ids = {0};
    struct lorac_err err = {0};
    bool ok = true;
    if (json_is_string(v)) {
        const char *text = json_string_value(v);
        size_t n = json_string_length(v);
        ok = prompt_encode(&ids, a->s, text, n, special, "prompt", f);
        if (ok && a->echo) { lorac_buf_add(&a->prompts[i], text, n); }
    } else if (json_is_array(v)) {
        ok = prompt_ids(&ids, a->s, v, "prompt", f);
        if (ok && a->echo &&
            lorac_decode(&a->prompts[i], a->s->tokenizer, ids.at, ids.n, false, &err)) {
            ok = fault_of(f, 400, NULL, "prompt", &err);
        }
    } else {
        ok = fault_set(f, 400, NULL, "prompt",
                       "prompt must be a text, a list of texts, a list of token ids, or a list of "
                       "such lists");
    }
    if (ok) { ok = add_prompt(a, i, &ids, f); }
    lorac_ids_free(&ids);
    return ok;
}

/* How many prompts there are; 0: none that can be read. */
static size_t count_prompts(const json_t *v)
{
    if (json_is_string(v)) { return 1; }
    if (json_is_array(v) && json_is_integer(json_array_get(v, 0))) { return 1; }
    return json_array_size(v);
}

static bool read_prompts(struct ask *a, size_t n, struct fault *f)
{
    const json_t *v = json_object_get(a->root, "prompt");
    bool special = true;
    bool one = json_is_string(v) || json_is_integer(json_array_get(v, 0));
    if (!field_bool(&special, a->root, "add_special_tokens", f)) { return false; }
    a->prompts = lorac_mem_new(n, sizeof *a->prompts);
    if (!a->prompts) { return fault_set(f, 500, NULL, NULL, "no memory for a request"); }
    for (size_t i = 0; i < n; i++) {
        if (!read_prompt(a, i, one ? v : json_array_get(v, i), special, f)) { return false; }
    }
    return true;
}

/* ---- options ---- */

static bool read_stops(struct ask *a, struct lorac_sampling *o, struct fault *f)
{
    const json_t *v = json_object_get(a->root, "stop");
    o->stop = a->stops;
    size_t n = json_is_string(v) ? 1 : json_array_size(v);
    bool list = !v || json_is_null(v) || json_is_string(v) || json_is_array(v);
    if (!list || n > ASK_MOST_STOPS) {
        return fault_set(f, 400, NULL, "stop", "stop must be a text, or a list of up to %d texts",
                         ASK_MOST_STOPS);
    }
    for (size_t i = 0; i < n; i++) {
        const json_t *one = json_is_string(v) ? v : json_array_get(v, i);
        const char *text = json_string_value(one);
        if (!text || strlen(text) != json_string_length(one)) {
            return fault_set(f, 400, NULL, "stop", "stop must hold texts without NUL bytes");
        }
        if (*text) { a->stops[o->n_stop++] = text; }
    }
    return true;
}

static bool read_sampling_of(struct ask *a, struct lorac_sampling *o, struct fault *f)
{
    const json_t *r = a->root;
    size_t V = a->s->model->config.V;
    uint64_t seed = 0;
    *o = (struct lorac_sampling){
        .max_tokens = a->chat ? SIZE_MAX / 2 : 16,
        .temperature = 1.0,
        .top_p = 1.0,
        .repetition_penalty = 1.0,
    };
    const json_t *given = json_object_get(r, "seed");
    if (json_is_integer(given)) {
        seed = (uint64_t)json_integer_value(given);
    } else if (given && !json_is_null(given)) {
        return fault_set(f, 400, NULL, "seed", "seed must be a whole number");
    } else if (getentropy(&seed, sizeof seed) != 0) {
        return fault_set(f, 500, NULL, NULL, "no random numbers");
    }
    o->seed = seed;
    const json_t *top_k = json_object_get(r, "top_k");
    bool all = json_is_integer(top_k) && json_integer_value(top_k) == -1; // as vLLM writes it
    return field_size(&o->max_tokens, r, "max_tokens", 0, 1 << 30, f) &&
           field_size(&o->max_tokens, r, "max_completion_tokens", 0, 1 << 30, f) &&
           field_real(&o->temperature, r, "temperature", 0.0, 2.0, f) &&
           field_real(&o->top_p, r, "top_p", 0.0, 1.0, f) &&
           (all || field_size(&o->top_k, r, "top_k", 0, V, f)) &&
           field_real(&o->repetition_penalty, r, "repetition_penalty", 0.01, 100.0, f) &&
           read_stops(a, o, f);
}

static bool read_logprobs(struct ask *a, struct fault *f)
{
    size_t top = 0;
    a->call.top = -1;
    const json_t *given = json_object_get(a->root, "logprobs");
    if (!a->chat) {
        if (json_is_true(given)) {
            return fault_set(f, 400, NULL, "logprobs",
                             "logprobs of completions is a number from 0 to %d (true is that of "
                             "chat completions)",
                             ENGINE_MOST_TOP);
        }
        if (!given || json_is_null(given) || json_is_false(given)) { return true; }
        if (!field_size(&top, a->root, "logprobs", 0, ENGINE_MOST_TOP, f)) { return false; }
        a->call.top = (int)top;
        a->call.scores = a->echo;
        return true;
    }
    bool wanted = false;
    if (!field_bool(&wanted, a->root, "logprobs", f) ||
        !field_size(&top, a->root, "top_logprobs", 0, ENGINE_MOST_TOP, f)) {
        return false;
    }
    if (top && !wanted) {
        return fault_set(f, 400, NULL, "top_logprobs", "top_logprobs needs \"logprobs\": true");
    }
    if (wanted) { a->call.top = (int)top; }
    return true;
}

static bool read_stream(struct ask *a, struct fault *f)
{
    const json_t *o = json_object_get(a->root, "stream_options");
    if (!field_bool(&a->stream, a->root, "stream", f)) { return false; }
    if (!o || json_is_null(o)) { return true; }
    if (!a->stream || !json_is_object(o)) {
        return fault_set(f, 400, NULL, "stream_options",
                         "stream_options is an object, and needs \"stream\": true");
    }
    return field_bool(&a->usage, o, "include_usage", f);
}

bool ask_who(struct resident **r, struct service *s, const char *name, struct fault *f)
{
    *r = NULL;
    if (strcmp(name, s->name) == 0) { return true; }
    *r = adapters_lease(&s->adapters, name);
    return *r ||
           fault_set(f, 404, "model_not_found", "model",
                     "there is no model or adapter '%.128s' (GET /v1/models lists them)", name);
}

const struct talk *ask_talk(const struct service *s, const struct resident *r)
{
    return r ? &r->talk : &s->talk;
}

/* Who answers: the base by its name, or an adapter. */
static bool read_model(struct ask *a, struct fault *f)
{
    const char *name = NULL;
    if (!field_text(&name, a->root, "model", true, f) ||
        !ask_who(&a->call.adapter, a->s, name, f)) {
        return false;
    }
    (void)snprintf(a->model, sizeof a->model, "%s", name);
    return true;
}

bool ask_choices(struct ask *a, size_t prompts, const struct lorac_sampling *o, struct fault *f)
{
    size_t n = prompts * a->samples;
    size_t most = engine_queue(a->s->engine); // more would never fit, however long they came again
    if (a->saved && n > most) {
        return fault_set(f, 400, NULL, "model",
                         "'%.128s' has %zu labels, and at most %zu can wait to be rated "
                         "(--max-waiting)",
                         a->model, n, most);
    }
    if (!a->saved && n > lorac_min(most, ASK_MOST_CHOICES)) {
        return fault_set(f, 400, NULL, "n", "prompts times n is %zu, at most %zu are answered%s", n,
                         lorac_min(most, ASK_MOST_CHOICES),
                         most < ASK_MOST_CHOICES ? " (--max-waiting)" : "");
    }
    a->call.choice = lorac_mem_new(n, sizeof *a->call.choice);
    a->text_told = lorac_mem_new(n, sizeof *a->text_told);
    a->tokens_told = lorac_mem_new(n, sizeof *a->tokens_told);
    a->began = lorac_mem_new(n, sizeof *a->began);
    if (!a->call.choice || !a->text_told || !a->tokens_told || !a->began) {
        return fault_set(f, 500, NULL, NULL, "no memory for a request");
    }
    a->call.n = n;
    for (size_t i = 0; i < n; i++) {
        a->call.choice[i].o = *o;
        a->call.choice[i].o.seed += i % a->samples;
        a->call.choice[i].call = &a->call;
    }
    return true;
}

static bool read_all(struct ask *a, struct fault *f)
{
    struct lorac_sampling o;
    struct lorac_ids ids = {0};
    size_t prompts = a->chat ? 1 : count_prompts(json_object_get(a->root, "prompt"));
    if (!field_size(&a->samples, a->root, "n", 1, ASK_MOST_CHOICES, f) ||
        !check_unsupported(a->root, a->samples, f) || !read_stream(a, f) ||
        (!a->chat && !field_bool(&a->echo, a->root, "echo", f)) || !read_logprobs(a, f) ||
        !read_sampling_of(a, &o, f)) {
        return false;
    }
    if (a->chat && field_asks(a->root, "echo")) {
        return fault_set(f, 400, "unsupported_parameter", "echo", "a chat is not echoed");
    }
    if (prompts == 0 || prompts > ASK_MOST_PROMPTS) {
        return fault_set(f, 400, NULL, "prompt",
                         "prompt must be a text or token ids, or a list of 1 to %d of them",
                         ASK_MOST_PROMPTS);
    }
    if (!ask_choices(a, prompts, &o, f)) { return false; }
    if (!a->chat) { return read_prompts(a, prompts, f); }
    bool ok =
        prompt_chat(&ids, ask_talk(a->s, a->call.adapter), a->root, f) && add_prompt(a, 0, &ids, f);
    lorac_ids_free(&ids);
    return ok;
}

/* ---- life ---- */

static void ask_free(struct ask *a)
{
    adapters_release(&a->s->adapters, a->call.adapter);
    for (size_t i = 0; i < a->call.n; i++) {
        lorac_ids_free(&a->call.choice[i].seen);
        lorac_buf_free(&a->call.choice[i].text);
        lorac_stream_free(&a->call.choice[i].stream);
        lorac_mem_free(a->call.choice[i].token);
        if (a->prompts && i % a->samples == 0) { lorac_buf_free(&a->prompts[i / a->samples]); }
    }
    lorac_mem_free(a->prompts);
    lorac_mem_free(a->call.choice);
    lorac_mem_free(a->text_told);
    lorac_mem_free(a->tokens_told);
    lorac_mem_free(a->began);
    lorac_buf_free(&a->out);
    json_decref(a->root);
    (void)pthread_mutex_destroy(&a->lock);
    lorac_mem_free(a);
}

static void let_go(struct ask *a) // with the lock, which it gives back
{
    bool last = --a->holders == 0;
    bool adapter = a->call.adapter != NULL;
    struct engine *e = a->s->engine;
    (void)pthread_mutex_unlock(&a->lock);
    if (!last) { return; }
    ask_free(a);
    if (adapter) { engine_wake(e); } // it may have been the last to use it
}

static void tell(void *self, struct choice *c);

struct ask *ask_read(struct service *s, enum ask_kind kind, const char *body, size_t n,
                     struct fault *f)
{
    static const char *const ids[] = {"cmpl", "chatcmpl", "classify"};
    uint64_t number[2] = {0};
    struct ask *a = lorac_mem_new(1, sizeof *a);
    if (!a) {
        (void)fault_set(f, 500, NULL, NULL, "no memory for a request");
        return NULL;
    }
    (void)pthread_mutex_init(&a->lock, NULL);
    bool random = getentropy(number, sizeof number) == 0;
    a->s = s;
    a->chat = kind == ASK_CHAT;
    a->samples = 1;
    a->created = time(NULL);
    a->holders = 1;
    a->call.tell = tell;
    a->call.self = a;
    (void)snprintf(a->id, sizeof a->id, "%s-%016llx%08llx", ids[kind],
                   (unsigned long long)number[0], (unsigned long long)(number[1] >> 32));
    a->root = field_root(body, n, f);
    if (!random) { (void)fault_set(f, 500, NULL, NULL, "no random numbers"); }
    bool ok = random && a->root && read_model(a, f);
    if (ok) { ok = kind == ASK_LABELS ? ask_labels(a, f) : read_all(a, f); }
    if (!ok) {
        ask_free(a);
        return NULL;
    }
    json_t *stop = json_incref(json_object_get(a->root, "stop"));
    json_decref(a->root); // its size is the client's to choose, and it may wait for long
    a->root = stop;
    return a;
}

bool ask_submit(struct ask *a, struct fault *f)
{
    a->holders++; // before the engine can be done with it
    enum engine_takes takes = engine_submit(a->s->engine, &a->call);
    if (takes == ENGINE_TAKES) { return true; }
    a->holders--;
    if (takes == ENGINE_IS_ENDING) { return fault_ending(f); }
    return fault_set(f, 429, "queue_full", NULL,
                     "too many requests wait already (--max-waiting); ask again later");
}

void ask_leave(struct ask *a)
{
    if (!a) { return; }
    struct engine *e = a->s->engine;
    (void)pthread_mutex_lock(&a->lock);
    bool early = a->holders > 1 && !a->done;
    if (early) { a->call.gone = true; }
    a->wake = NULL;
    let_go(a);
    if (early) { engine_wake(e); }
}

bool ask_failed(struct fault *f, const struct ask *a)
{
    if (!a->done || !a->call.err.code) { return false; }
    if (a->call.err.code == LORAC_ESTOP) {
        (void)fault_ending(f);
    } else {
        (void)fault_of(f, 500, NULL, NULL, &a->call.err);
    }
    return true;
}

static void tell(void *self, struct choice *c)
{
    struct ask *a = self;
    (void)pthread_mutex_lock(&a->lock);
    if (!c) {
        a->done = true;
        a->answers = true;
        if (a->stream) { ask_ended(a); }
        if (a->wake) { a->wake(a->self); }
        let_go(a);
        return;
    }
    if (a->stream) {
        ask_stream(a, c);
        if (a->out.n > a->sent || a->out.no_memory) {
            a->answers = true;
            if (a->wake) { a->wake(a->self); }
        }
    }
    (void)pthread_mutex_unlock(&a->lock);
}
