/* answer.c - what a call came to as OpenAI's JSON, whole or in events; see ask.h. */
#include "tools/serve/ask.h"

#include <math.h>
#include <string.h>

enum { NO_PROBABILITY = -9999 }; // what clients expect for minus infinity

/* ---- tokens ---- */

static size_t characters(const char *text, size_t n)
{
    size_t count = 0;
    for (size_t i = 0; i < n; i++) {
        count += ((unsigned char)text[i] & 0xC0U) != 0x80U;
    }
    return count;
}

/* The bytes of a token; of one that is unused none. For what goes into `out`. */
static void bytes_of(struct lorac_buf *b, struct lorac_buf *out, const struct service *s,
                     int32_t id)
{
    struct lorac_err err;
    b->n = 0;
    enum lorac_status st = lorac_token_bytes(b, s->tokenizer, id, &err);
    if (st) { b->n = 0; }
    if (st == LORAC_ENOMEM) { out->no_memory = true; }
}

/* A token as a JSON text; one that is no whole characters as "bytes:\xe2\x80", as OpenAI does. */
static void write_token(struct lorac_buf *out, const struct service *s, int32_t id)
{
    struct lorac_buf b = {0};
    bytes_of(&b, out, s, id);
    if (lorac_is_utf8(b.at, b.n)) {
        lorac_buf_json(out, b.at ? b.at : "", b.n);
    } else {
        lorac_buf_str(out, "\"bytes:");
        for (size_t i = 0; i < b.n; i++) {
            lorac_buf_printf(out, "\\\\x%02x", (unsigned char)b.at[i]);
        }
        lorac_buf_str(out, "\"");
    }
    lorac_buf_free(&b);
}

static void write_logprob(struct lorac_buf *out, double x)
{
    if (isnan(x)) {
        lorac_buf_str(out, "null");
    } else {
        lorac_buf_printf(out, "%.9g", x > NO_PROBABILITY ? x : NO_PROBABILITY);
    }
}

/* Several tokens may have one text: those that come behind one of it go by their number. */
static void write_key(struct lorac_buf *out, const struct service *s, int32_t id,
                      const struct token *t, size_t before)
{
    struct lorac_buf a = {0};
    struct lorac_buf b = {0};
    bool same = false;
    bytes_of(&a, out, s, id);
    for (size_t i = 0; i < before && !same; i++) {
        bytes_of(&b, out, s, t->top[i]);
        same = a.n == b.n && (a.n == 0 || memcmp(a.at, b.at, a.n) == 0);
    }
    lorac_buf_free(&a);
    lorac_buf_free(&b);
    if (same) {
        lorac_buf_printf(out, "\"token_id:%d\":", id);
    } else {
        write_token(out, s, id);
        lorac_buf_str(out, ":");
    }
}

/* {"token": -0.5, ...}: the likeliest, and the token itself where it is none of them. */
static void write_top(struct lorac_buf *out, const struct service *s, const struct token *t)
{
    bool among = false;
    if (isnan(t->logprob)) {
        lorac_buf_str(out, "null");
        return;
    }
    lorac_buf_str(out, "{");
    for (size_t i = 0; i < t->n_top; i++) {
        lorac_buf_str(out, i ? "," : "");
        write_key(out, s, t->top[i], t, i);
        write_logprob(out, (double)t->top_logprob[i]);
        among = among || t->top[i] == t->id;
    }
    if (!among) {
        lorac_buf_str(out, t->n_top ? "," : "");
        write_key(out, s, t->id, t, t->n_top);
        write_logprob(out, t->logprob);
    }
    lorac_buf_str(out, "}");
}

/* Characters before token i: of the prompt's by their own texts, of the answer's by its text. */
static size_t offset_of(struct lorac_buf *out, const struct ask *a, const struct choice *c,
                        size_t i)
{
    const struct lorac_buf *prompt =
        a->echo ? &a->prompts[(size_t)(c - a->call.choice) / a->samples] : NULL;
    size_t before = prompt ? characters(prompt->at, prompt->n) : 0;
    size_t of_prompt = a->call.scores ? c->n_prompt : 0;
    if (i >= of_prompt) { return before + characters(c->text.at, c->token[i].at); }
    struct lorac_buf b = {0};
    size_t n = 0;
    for (size_t k = 0; k < i; k++) {
        bytes_of(&b, out, a->s, c->token[k].id);
        n += characters(b.at, b.n);
    }
    lorac_buf_free(&b);
    return n;
}

/* Of tokens from .. to - 1, as completions have them. */
static void write_lists(struct lorac_buf *out, const struct ask *a, const struct choice *c,
                        size_t from, size_t to)
{
    lorac_buf_str(out, "{\"tokens\":[");
    for (size_t i = from; i < to; i++) {
        lorac_buf_str(out, i > from ? "," : "");
        write_token(out, a->s, c->token[i].id);
    }
    lorac_buf_str(out, "],\"token_logprobs\":[");
    for (size_t i = from; i < to; i++) {
        lorac_buf_str(out, i > from ? "," : "");
        write_logprob(out, c->token[i].logprob);
    }
    lorac_buf_str(out, "],\"top_logprobs\":[");
    for (size_t i = from; i < to; i++) {
        lorac_buf_str(out, i > from ? "," : "");
        write_top(out, a->s, &c->token[i]);
    }
    lorac_buf_str(out, "],\"text_offset\":[");
    size_t offset = from < to ? offset_of(out, a, c, from) : 0;
    struct lorac_buf b = {0};
    for (size_t i = from; i < to; i++) {
        bool prompts = a->call.scores && i < c->n_prompt;
        if (!prompts) { offset = offset_of(out, a, c, i); }
        lorac_buf_printf(out, "%s%zu", i > from ? "," : "", offset);
        bytes_of(&b, out, a->s, c->token[i].id);
        if (prompts) { offset += characters(b.at, b.n); }
    }
    lorac_buf_free(&b);
    lorac_buf_str(out, "]}");
}

/* {"token", "logprob", "bytes"} without its end. */
static void write_rated(struct lorac_buf *out, const struct service *s, int32_t id, double logprob)
{
    struct lorac_buf b = {0};
    lorac_buf_str(out, "{\"token\":");
    write_token(out, s, id);
    lorac_buf_str(out, ",\"logprob\":");
    write_logprob(out, logprob);
    lorac_buf_str(out, ",\"bytes\":[");
    bytes_of(&b, out, s, id);
    for (size_t i = 0; i < b.n; i++) {
        lorac_buf_printf(out, "%s%u", i ? "," : "", (unsigned)(unsigned char)b.at[i]);
    }
    lorac_buf_str(out, "]");
    lorac_buf_free(&b);
}

/* The same as chats have them. */
static void write_content(struct lorac_buf *out, const struct ask *a, const struct choice *c,
                          size_t from, size_t to)
{
    lorac_buf_str(out, "{\"content\":[");
    for (size_t i = from; i < to; i++) {
        const struct token *t = &c->token[i];
        lorac_buf_str(out, i > from ? "," : "");
        write_rated(out, a->s, t->id, t->logprob);
        lorac_buf_str(out, ",\"top_logprobs\":[");
        for (size_t k = 0; k < t->n_top; k++) {
            lorac_buf_str(out, k ? "," : "");
            write_rated(out, a->s, t->top[k], (double)t->top_logprob[k]);
            lorac_buf_str(out, "}");
        }
        lorac_buf_str(out, "]}");
    }
    lorac_buf_str(out, "],\"refusal\":null}");
}

static void write_logprobs(struct lorac_buf *out, const struct ask *a, const struct choice *c,
                           size_t from, size_t to)
{
    lorac_buf_str(out, ",\"logprobs\":");
    if (a->call.top < 0) {
        lorac_buf_str(out, "null");
    } else if (a->chat) {
        write_content(out, a, c, from, to);
    } else {
        write_lists(out, a, c, from, to);
    }
}

/* ---- answers ---- */

static const char *finish_of(const struct choice *c)
{
    bool stop = c->finish == LORAC_FINISH_END || c->finish == LORAC_FINISH_STOP;
    return stop ? "\"stop\"" : "\"length\"";
}

void ask_write_head(struct lorac_buf *out, const struct ask *a, const char *object)
{
    lorac_buf_printf(out, "{\"id\":\"%s\",\"object\":\"%s\",\"created\":%lld,\"model\":", a->id,
                     object, (long long)a->created);
    lorac_buf_json(out, a->model, strlen(a->model));
}

static void write_usage(struct lorac_buf *out, const struct ask *a)
{
    size_t prompts = 0;
    size_t drawn = 0;
    for (size_t i = 0; i < a->call.n; i++) {
        prompts += i % a->samples ? 0 : a->call.choice[i].n_prompt;
        drawn += a->call.choice[i].drawn;
    }
    lorac_buf_printf(out,
                     "\"usage\":{\"prompt_tokens\":%zu,\"completion_tokens\":%zu,"
                     "\"total_tokens\":%zu}",
                     prompts, drawn, prompts + drawn);
}

static const struct lorac_buf *prompt_of(const struct ask *a, const struct choice *c)
{
    return a->echo ? &a->prompts[(size_t)(c - a->call.choice) / a->samples] : NULL;
}

static void write_choice(struct lorac_buf *out, const struct ask *a, const struct choice *c)
{
    struct lorac_buf text = {0};
    const struct lorac_buf *prompt = prompt_of(a, c);
    if (prompt) { lorac_buf_add(&text, prompt->at ? prompt->at : "", prompt->n); }
    lorac_buf_add(&text, c->text.at ? c->text.at : "", c->text.n);
    lorac_buf_printf(out, "{\"index\":%zu,", (size_t)(c - a->call.choice));
    lorac_buf_str(out, a->chat ? "\"message\":{\"role\":\"assistant\",\"content\":" : "\"text\":");
    lorac_buf_json(out, text.at ? text.at : "", text.n);
    if (a->chat) { lorac_buf_str(out, ",\"refusal\":null}"); }
    write_logprobs(out, a, c, 0, c->n_tokens);
    lorac_buf_printf(out, ",\"finish_reason\":%s}", finish_of(c));
    if (text.no_memory) { out->no_memory = true; }
    lorac_buf_free(&text);
}

void ask_answer(struct lorac_buf *b, const struct ask *a)
{
    if (a->saved) {
        ask_write_labels(b, a);
        return;
    }
    ask_write_head(b, a, a->chat ? "chat.completion" : "text_completion");
    lorac_buf_str(b, ",\"choices\":[");
    for (size_t i = 0; i < a->call.n; i++) {
        lorac_buf_str(b, i ? "," : "");
        write_choice(b, a, &a->call.choice[i]);
    }
    lorac_buf_str(b, "],");
    write_usage(b, a);
    lorac_buf_str(b, "}");
}

/* ---- streams ---- */

static void begin_event(struct ask *a)
{
    lorac_buf_str(&a->out, "data: ");
    ask_write_head(&a->out, a, a->chat ? "chat.completion.chunk" : "text_completion");
    lorac_buf_str(&a->out, ",\"choices\":[");
}

static void end_event(struct ask *a)
{
    lorac_buf_str(&a->out, a->usage ? "],\"usage\":null}\n\n" : "]}\n\n");
}

/* A choice's text (n bytes) and tokens; `finish`: its last. */
static void write_chunk(struct ask *a, const struct choice *c, const char *text, size_t n,
                        size_t from, size_t to, bool finish)
{
    struct lorac_buf *out = &a->out;
    begin_event(a);
    lorac_buf_printf(out, "{\"index\":%zu,", (size_t)(c - a->call.choice));
    if (a->chat) {
        lorac_buf_str(out, n ? "\"delta\":{\"content\":" : "\"delta\":{");
        if (n) { lorac_buf_json(out, text, n); }
        lorac_buf_str(out, "}");
    } else {
        lorac_buf_str(out, "\"text\":");
        lorac_buf_json(out, n ? text : "", n);
    }
    if (to > from) {
        write_logprobs(out, a, c, from, to);
    } else {
        lorac_buf_str(out, ",\"logprobs\":null");
    }
    lorac_buf_printf(out, ",\"finish_reason\":%s}", finish ? finish_of(c) : "null");
    end_event(a);
}

/* A chat begins with who speaks, a completion that is echoed with its prompt. */
static void write_begin(struct ask *a, const struct choice *c, size_t i)
{
    const struct lorac_buf *prompt = prompt_of(a, c);
    size_t tokens = a->call.scores ? c->n_prompt : 0;
    if (a->chat) {
        begin_event(a);
        lorac_buf_printf(&a->out,
                         "{\"index\":%zu,\"delta\":{\"role\":\"assistant\",\"content\":\"\"},"
                         "\"logprobs\":null,\"finish_reason\":null}",
                         i);
        end_event(a);
    } else if (prompt) {
        write_chunk(a, c, prompt->at, prompt->n, 0, tokens, false);
        a->tokens_told[i] = tokens;
    }
    a->began[i] = true;
}

void ask_stream(struct ask *a, struct choice *c)
{
    size_t i = (size_t)(c - a->call.choice);
    bool ended = c->state == CHOICE_ENDED;
    if (!c->drawn && !ended) { return; }
    if (!a->began[i]) { write_begin(a, c, i); }
    size_t from = a->tokens_told[i];
    size_t to = a->call.top < 0 ? from : c->n_tokens;
    while (!ended && to > from && c->token[to - 1].at >= c->certain) { // may yet be taken back
        to--;
    }
    size_t n = c->certain - a->text_told[i];
    if (n == 0 && to == from && !ended) { return; }
    write_chunk(a, c, n ? c->text.at + a->text_told[i] : "", n, from, to, ended);
    a->text_told[i] = c->certain;
    a->tokens_told[i] = to;
}

void ask_ended(struct ask *a)
{
    struct fault f = {0};
    if (ask_failed(&f, a)) {
        if (a->out.n == 0) { return; } // nothing was sent: a plain failure
        lorac_buf_str(&a->out, "data: ");
        fault_write(&a->out, &f);
        lorac_buf_str(&a->out, "\n\n");
    } else if (a->usage) {
        lorac_buf_str(&a->out, "data: ");
        ask_write_head(&a->out, a, a->chat ? "chat.completion.chunk" : "text_completion");
        lorac_buf_str(&a->out, ",\"choices\":[],");
        write_usage(&a->out, a);
        lorac_buf_str(&a->out, "}\n\n");
    }
    lorac_buf_str(&a->out, "data: [DONE]\n\n");
}
