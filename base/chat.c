/* chat.c - see chat.h. */
#include "base/chat_impl.h"

#include "base/core/file.h"
#include "base/core/json.h"
#include "base/core/mem.h"
#include "base/tokenizer/impl.h"

#include <string.h>

static enum lorac_status no_memory(struct lorac_err *err)
{
    return lorac_fail(err, LORAC_ENOMEM, "no memory for a chat");
}

/* ---- opening ---- */

/* The text of a special token: itself, or an object's "content"; NULL: none. */
static const char *token_text(const json_t *at)
{
    const char *s = json_string_value(json_is_object(at) ? json_object_get(at, "content") : at);
    return s && *s ? s : NULL;
}

/* special_tokens_map of transformers: the names that the files give, tokenizer_config.json first,
 * and the class's own BOS and EOS. A token that there is not has no name. */
static enum lorac_status name_tokens(struct lorac_chat *c, const char *dir, struct lorac_err *err)
{
    static const char *const files[] = {"tokenizer_config.json", "special_tokens_map.json"};
    static const char *const names[] = {"bos_token", "eos_token", "unk_token", "pad_token",
                                        "sep_token", "cls_token", "mask_token"};
    const int32_t known[] = {lorac_tokenizer_bos(c->t), lorac_tokenizer_eos(c->t)};
    enum lorac_status st = LORAC_OK;
    for (size_t k = 0; k < 2 && !st; k++) {
        struct lorac_json root = {0};
        char path[LORAC_PATH];
        st = lorac_read_file(&root, path, dir, files[k], err);
        for (size_t i = 0; i < sizeof names / sizeof *names && !st; i++) {
            const char *text = token_text(json_object_get(root.value, names[i]));
            if (!text || json_object_get(c->own, names[i])) { continue; }
            if (json_object_set_new(c->own, names[i], json_string(text))) { st = no_memory(err); }
        }
        lorac_json_free(&root);
    }
    for (size_t i = 0; i < 2 && !st; i++) {
        const char *text = known[i] >= 0 ? lorac_token_text(c->t, known[i]) : NULL;
        if (!text || json_object_get(c->own, names[i])) { continue; }
        if (json_object_set_new(c->own, names[i], json_string(text))) { st = no_memory(err); }
    }
    return st;
}

static enum lorac_status read_template(struct lorac_chat *c, const char *dir, const char *adapter,
                                       struct lorac_err *err)
{
    const char *file = NULL;
    char path[LORAC_PATH];
    enum lorac_status st = LORAC_OK;
    if (adapter) { st = lorac_chat_template(&c->text, &file, adapter, err); }
    if (file) {
        dir = adapter;
    } else if (!st) {
        st = lorac_chat_template(&c->text, &file, dir, err);
    }
    if (!st && !file) {
        st = lorac_fail(err, LORAC_EUSER,
                        "%s: brings no chat template (chat_template.jinja, or \"chat_template\" in "
                        "tokenizer_config.json), as models that were trained to chat do: prompt it "
                        "without --chat",
                        dir);
    }
    if (st) { return st; }
    return lorac_jinja_parse(&c->template, c->text.at, c->text.n, lorac_path_in(path, dir, file),
                             err);
}

enum lorac_status lorac_chat_open(struct lorac_chat **out, const char *dir,
                                  const struct lorac_tokenizer *t, struct lorac_err *err)
{
    return lorac_chat_open_for(out, dir, NULL, t, err);
}

enum lorac_status lorac_chat_open_for(struct lorac_chat **out, const char *dir, const char *adapter,
                                      const struct lorac_tokenizer *t, struct lorac_err *err)
{
    *out = NULL;
    struct lorac_chat *c = lorac_mem_new(1, sizeof *c);
    if (!c) { return no_memory(err); }
    c->t = t;
    c->own = json_object();
    enum lorac_status st = c->own ? read_template(c, dir, adapter, err) : no_memory(err);
    if (!st) { st = name_tokens(c, dir, err); }
    if (st) {
        lorac_chat_free(c);
        return st;
    }
    *out = c;
    return LORAC_OK;
}

void lorac_chat_free(struct lorac_chat *c)
{
    if (!c) { return; }
    lorac_jinja_free(c->template);
    lorac_buf_free(&c->text);
    json_decref(c->own);
    lorac_mem_free(c);
}

const char *lorac_chat_text(const struct lorac_chat *c)
{
    return c->text.at ? c->text.at : "";
}

bool lorac_chat_writes_date(const struct lorac_chat *c)
{
    return strstr(lorac_chat_text(c), "strftime_now") != NULL;
}

/* ---- messages ---- */

enum lorac_status lorac_messages_add(struct lorac_messages *m, const char *role,
                                     const char *content, size_t n, struct lorac_err *err)
{
    if (memchr(content, '\0', n)) {
        return lorac_fail(err, LORAC_EUSER, "a message holds a NUL byte, expected text");
    }
    if (m->n == m->cap) {
        struct lorac_message *p = lorac_mem_grow(m->at, m->n, &m->cap, m->n + 1, sizeof *p);
        if (!p) { return no_memory(err); }
        m->at = p;
    }
    struct lorac_message one = {.role = lorac_mem_string(role, strlen(role)),
                                .content = lorac_mem_string(content, n)};
    if (!one.role || !one.content) {
        lorac_mem_free((char *)(uintptr_t)one.role);
        lorac_mem_free((char *)(uintptr_t)one.content);
        return no_memory(err);
    }
    m->at[m->n++] = one;
    return LORAC_OK;
}

void lorac_messages_drop(struct lorac_messages *m)
{
    struct lorac_message *last = &m->at[--m->n];
    lorac_mem_free((char *)(uintptr_t)last->role);
    lorac_mem_free((char *)(uintptr_t)last->content);
}

void lorac_messages_free(struct lorac_messages *m)
{
    while (m->n > 0) {
        lorac_messages_drop(m);
    }
    lorac_mem_free(m->at);
    *m = (struct lorac_messages){0};
}

/* How a message is written: OpenAI's way, and ShareGPT's. */
struct dialect {
    const char *role, *content;
    struct {
        const char *word, *role;
    } roles[5];
};
static const struct dialect dialects[] = {
    {"role",
     "content",
     {{"system", "system"},
      {"developer", "developer"},
      {"user", "user"},
      {"assistant", "assistant"}}},
    {"from",
     "value",
     {{"system", "system"},
      {"human", "user"},
      {"user", "user"},
      {"gpt", "assistant"},
      {"assistant", "assistant"}}},
};

/* "messages[2].role", of a list that is all there is "[2].role". */
static enum lorac_status fail_member(const struct lorac_json *at, const char *key, const char *what,
                                     struct lorac_err *err)
{
    return lorac_fail(err, LORAC_ENOTSUP, "%s: '%s.%.60s' %s", at->file, at->where, key, what);
}

/* OpenAI's "weight" of the assistant's messages: 1 is trained, 0 is not. LLaMA-Factory's
 * "loss_weight" says so of all messages; of others than the assistant's it can only be 0. */
static enum lorac_status read_weight(bool *untrained, const struct lorac_json *at, const char *key,
                                     const json_t *value, bool assistant, struct lorac_err *err)
{
    double w = json_is_number(value) ? json_number_value(value) : -1.0;
    bool openai = strcmp(key, "weight") == 0;
    if (w != 0.0 && w != 1.0) { return fail_member(at, key, "must be 0 or 1", err); }
    if (!assistant && (openai || w == 1.0)) {
        return fail_member(at, key, "is for messages of the assistant, which alone are trained",
                           err);
    }
    *untrained = assistant && w == 0.0;
    return LORAC_OK;
}

/* A member that would change what the template writes is refused, unless it is null. */
static enum lorac_status check_members(bool *untrained, const struct lorac_json *at,
                                       const struct dialect *d, const char *role,
                                       struct lorac_err *err)
{
    static const char *const weights[] = {"weight", "loss_weight"};
    const char *key = NULL;
    json_t *value = NULL;
    bool assistant = strcmp(role, "assistant") == 0;
    json_object_foreach(at->value, key, value)
    {
        if (strcmp(key, d->role) == 0 || strcmp(key, d->content) == 0 || json_is_null(value)) {
            continue;
        }
        if (strcmp(key, weights[0]) == 0 || strcmp(key, weights[1]) == 0) {
            enum lorac_status st = read_weight(untrained, at, key, value, assistant, err);
            if (st) { return st; }
            continue;
        }
        return fail_member(at, key, "is not supported: a message has a role and a content", err);
    }
    return LORAC_OK;
}

/* A list of parts that are text, one behind the other. */
static enum lorac_status join_parts(struct lorac_buf *text, const struct lorac_json *at,
                                    struct lorac_err *err)
{
    for (size_t i = 0; i < json_array_size(at->value); i++) {
        struct lorac_json part = lorac_json_at(at, i);
        const char *type = json_string_value(json_object_get(part.value, "type"));
        struct lorac_json its = lorac_json_get(&part, "text");
        if (!its.value) { its = lorac_json_get(&part, "value"); } // as LLaMA-Factory writes it
        if (!type || strcmp(type, "text") != 0) {
            return lorac_fail(err, LORAC_ENOTSUP,
                              "%s: '%s' is a part of type '%.40s': only text is supported",
                              at->file, part.where, type ? type : "none");
        }
        if (!json_is_string(its.value)) { return lorac_json_fail(&its, "text", err); }
        if (json_object_size(part.value) != 2) {
            return lorac_fail(err, LORAC_ENOTSUP, "%s: '%s' holds more than its type and text",
                              at->file, part.where);
        }
        lorac_buf_add(text, json_string_value(its.value), json_string_length(its.value));
    }
    return text->no_memory ? no_memory(err) : LORAC_OK;
}

static enum lorac_status add_content(struct lorac_messages *m, const struct lorac_json *at,
                                     const char *key, const char *role, struct lorac_err *err)
{
    struct lorac_buf text = {0};
    struct lorac_json content = lorac_json_get(at, key);
    enum lorac_status st = LORAC_OK;
    if (json_is_array(content.value)) {
        st = join_parts(&text, &content, err);
    } else if (json_is_string(content.value)) {
        lorac_buf_add(&text, json_string_value(content.value), json_string_length(content.value));
    } else {
        st = lorac_json_fail(&content, "text", err);
    }
    if (!st && text.no_memory) { st = no_memory(err); }
    if (!st) { st = lorac_messages_add(m, role, text.at ? text.at : "", text.n, err); }
    lorac_buf_free(&text);
    return st;
}

static enum lorac_status read_message(struct lorac_messages *m, const struct lorac_json *at,
                                      struct lorac_err *err)
{
    const char *word = NULL;
    const char *role = NULL;
    bool untrained = false;
    if (!json_is_object(at->value)) { return lorac_json_fail(at, "a message", err); }
    const struct dialect *d = &dialects[json_object_get(at->value, "from") != NULL &&
                                        json_object_get(at->value, "role") == NULL];
    enum lorac_status st = lorac_json_string(&word, at, d->role, true, err);
    if (st) { return st; }
    for (size_t i = 0; i < sizeof d->roles / sizeof *d->roles && !role; i++) {
        bool same = d->roles[i].word && strcmp(word, d->roles[i].word) == 0;
        if (same) { role = d->roles[i].role; }
    }
    if (!role) {
        return lorac_fail(
            err, LORAC_ENOTSUP, "%s: '%s.%s' is '%.40s': expected %s", at->file, at->where, d->role,
            word, d == dialects ? "system, developer, user or assistant" : "system, human or gpt");
    }
    st = check_members(&untrained, at, d, role, err);
    if (!st) { st = add_content(m, at, d->content, role, err); }
    if (!st) { m->at[m->n - 1].untrained = untrained; }
    return st;
}

enum lorac_status lorac_messages_read(struct lorac_messages *m, const char *json, size_t n,
                                      const char *name, struct lorac_err *err)
{
    struct lorac_json root = {0};
    enum lorac_status st = lorac_json_parse(&root, json, n, name, err);
    if (st) { return st; }
    struct lorac_json list = json_is_array(root.value) ? root : lorac_json_get(&root, "messages");
    if (!json_is_array(list.value)) {
        st =
            lorac_fail(err, LORAC_EFORMAT,
                       "%s: expected a list of messages, [{\"role\": ..., \"content\": ...}, ...], "
                       "or an object that has one as \"messages\"",
                       name);
    }
    for (size_t i = 0; i < json_array_size(list.value) && !st; i++) {
        struct lorac_json at = lorac_json_at(&list, i);
        st = read_message(m, &at, err);
    }
    if (!st && json_is_object(root.value) && json_object_size(root.value) > 1) {
        st = lorac_fail(
            err, LORAC_ENOTSUP,
            "%s: only \"messages\" is read: other members (tools, ...) are not supported", name);
    }
    if (!st && m->n == 0) { st = lorac_fail(err, LORAC_EUSER, "%s: holds no message", name); }
    lorac_json_free(&root);
    return st;
}

/* ---- rendering ---- */

/* The template's variables of transformers that come from the call. */
static json_t *variables(const struct lorac_message *messages, size_t n, bool answer)
{
    json_t *list = json_array();
    for (size_t i = 0; i < n && list; i++) {
        json_t *one =
            json_pack("{s:s, s:s}", "role", messages[i].role, "content", messages[i].content);
        if (!one || json_array_append_new(list, one)) {
            json_decref(list);
            list = NULL;
        }
    }
    return json_pack("{s:o, s:b, s:n, s:n}", "messages", list, "add_generation_prompt", answer,
                     "tools", "documents");
}

enum lorac_status lorac_chat_render(struct lorac_jinja_text *out, const struct lorac_chat *c,
                                    const struct lorac_message *messages, size_t n, bool answer,
                                    int64_t now, struct lorac_err *err)
{
    if (n == 0) { return lorac_fail(err, LORAC_EUSER, "a conversation without a message"); }
    json_t *input = variables(messages, n, answer);
    enum lorac_status st =
        input ? lorac_jinja_render(out, c->template, c->own, input, now, err) : no_memory(err);
    json_decref(input);
    return st;
}

/* Append the ids of bytes from .. to-1 of the text. Special tokens are those of the template's own
 * text: stretches of it and of what was put in take turns. */
enum lorac_status lorac_chat_ids(struct lorac_ids *ids, const struct lorac_chat *c,
                                 const struct lorac_jinja_text *text, size_t from, size_t to,
                                 struct lorac_err *err)
{
    struct lorac_text *part = lorac_mem_new(to - from + 1, sizeof *part);
    size_t n = 0;
    if (!part) { return no_memory(err); }
    for (size_t i = from; i < to; i++) {
        bool special = !(text->mark.at[i] & LORAC_JINJA_INPUT);
        if (n == 0 || part[n - 1].special != special) {
            part[n++] = (struct lorac_text){.at = text->text.at + i, .special = special};
        }
        part[n - 1].n++;
    }
    unsigned flags = from ? LORAC_ENCODE_CONTINUES : LORAC_ENCODE_ALONE;
    enum lorac_status st = lorac_encode(ids, c->t, part, n, flags, err);
    lorac_mem_free(part);
    return st;
}

enum lorac_status lorac_chat_encode(struct lorac_ids *ids, struct lorac_buf *text,
                                    const struct lorac_chat *c,
                                    const struct lorac_message *messages, size_t n, bool answer,
                                    int64_t now, struct lorac_err *err)
{
    struct lorac_jinja_text out = {0};
    enum lorac_status st = lorac_chat_render(&out, c, messages, n, answer, now, err);
    if (!st) { st = lorac_chat_ids(ids, c, &out, 0, out.text.n, err); }
    if (!st && text) {
        lorac_buf_clear(text);
        lorac_buf_add(text, out.text.at ? out.text.at : "", out.text.n);
        if (text->no_memory) { st = no_memory(err); }
    }
    lorac_jinja_text_free(&out);
    return st;
}
