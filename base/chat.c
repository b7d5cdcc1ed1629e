/* chat.c - see chat.h. */
#include "base/chat.h"

#include "base/core/file.h"
#include "base/core/json.h"
#include "base/core/mem.h"
#include "base/jinja/jinja.h"
#include "base/tokenizer/impl.h"

#include <string.h>

struct lorac_chat {
    const struct lorac_tokenizer *t;
    struct lorac_jinja *template;
    json_t *own; // variables: the special tokens by name
};

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
        char *path = NULL;
        st = lorac_read_file(&root, &path, dir, files[k], err);
        for (size_t i = 0; i < sizeof names / sizeof *names && !st; i++) {
            const char *text = token_text(json_object_get(root.value, names[i]));
            if (!text || json_object_get(c->own, names[i])) { continue; }
            if (json_object_set_new(c->own, names[i], json_string(text))) { st = no_memory(err); }
        }
        lorac_json_free(&root);
        lorac_mem_free(path);
    }
    for (size_t i = 0; i < 2 && !st; i++) {
        const char *text = known[i] >= 0 ? lorac_token_text(c->t, known[i]) : NULL;
        if (!text || json_object_get(c->own, names[i])) { continue; }
        if (json_object_set_new(c->own, names[i], json_string(text))) { st = no_memory(err); }
    }
    return st;
}

static enum lorac_status read_template(struct lorac_chat *c, const char *dir, struct lorac_err *err)
{
    struct lorac_buf text = {0};
    const char *file = NULL;
    char *path = NULL;
    enum lorac_status st = lorac_chat_template(&text, &file, dir, err);
    if (!st && !file) {
        st = lorac_fail(err, LORAC_EUSER,
                        "%s: brings no chat template (chat_template.jinja, or \"chat_template\" in "
                        "tokenizer_config.json), as models that were trained to chat do: prompt it "
                        "without --chat",
                        dir);
    }
    if (!st) {
        path = lorac_path_join(dir, file);
        st = path ? lorac_jinja_parse(&c->template, text.at, text.n, path, err) : no_memory(err);
    }
    lorac_mem_free(path);
    lorac_buf_free(&text);
    return st;
}

enum lorac_status lorac_chat_open(struct lorac_chat **out, const char *dir,
                                  const struct lorac_tokenizer *t, struct lorac_err *err)
{
    *out = NULL;
    struct lorac_chat *c = lorac_mem_new(1, sizeof *c);
    if (!c) { return no_memory(err); }
    c->t = t;
    c->own = json_object();
    enum lorac_status st = c->own ? read_template(c, dir, err) : no_memory(err);
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
    json_decref(c->own);
    lorac_mem_free(c);
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
    struct lorac_message one = {lorac_mem_string(role, strlen(role)), lorac_mem_string(content, n)};
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

/* A member that would change what the template writes is refused, unless it is null. */
static enum lorac_status check_members(const struct lorac_json *at, struct lorac_err *err)
{
    const char *key = NULL;
    json_t *value = NULL;
    json_object_foreach(at->value, key, value)
    {
        if (strcmp(key, "role") == 0 || strcmp(key, "content") == 0 || json_is_null(value)) {
            continue;
        }
        return lorac_fail(err, LORAC_ENOTSUP,
                          "%s: '%s.%.60s' is not supported: a message has a role and a content",
                          at->file, at->where, key);
    }
    return LORAC_OK;
}

static enum lorac_status read_message(struct lorac_messages *m, const struct lorac_json *at,
                                      struct lorac_err *err)
{
    const char *role = NULL;
    const char *content = NULL;
    if (!json_is_object(at->value)) { return lorac_json_fail(at, "a message", err); }
    enum lorac_status st = check_members(at, err);
    if (!st) { st = lorac_json_string(&role, at, "role", true, err); }
    if (!st && json_is_array(json_object_get(at->value, "content"))) {
        return lorac_fail(err, LORAC_ENOTSUP,
                          "%s: '%s.content' is a list of parts: only text is supported", at->file,
                          at->where);
    }
    if (!st) { st = lorac_json_string(&content, at, "content", true, err); }
    if (st) { return st; }
    const char *const known[] = {"system", "developer", "user", "assistant"};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        if (strcmp(role, known[i]) == 0) {
            return lorac_messages_add(m, role, content, strlen(content), err);
        }
    }
    return lorac_fail(err, LORAC_ENOTSUP,
                      "%s: '%s.role' is '%.40s': expected system, developer, user or assistant",
                      at->file, at->where, role);
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

static enum lorac_status render(struct lorac_jinja_text *out, const struct lorac_chat *c,
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

/* Append the ids of the text's first `bytes`. Special tokens are those of the template's own text:
 * stretches of it and of what was put in take turns. */
static enum lorac_status encode(struct lorac_ids *ids, const struct lorac_chat *c,
                                const struct lorac_jinja_text *text, size_t bytes,
                                struct lorac_err *err)
{
    struct lorac_text *part = lorac_mem_new(bytes + 1, sizeof *part);
    size_t n = 0;
    if (!part) { return no_memory(err); }
    for (size_t i = 0; i < bytes; i++) {
        bool special = !(text->mark.at[i] & LORAC_JINJA_INPUT);
        if (n == 0 || part[n - 1].special != special) {
            part[n++] = (struct lorac_text){.at = text->text.at + i, .special = special};
        }
        part[n - 1].n++;
    }
    enum lorac_status st = lorac_encode(ids, c->t, part, n, LORAC_ENCODE_ALONE, err);
    lorac_mem_free(part);
    return st;
}

enum lorac_status lorac_chat_encode(struct lorac_ids *ids, struct lorac_buf *text,
                                    const struct lorac_chat *c,
                                    const struct lorac_message *messages, size_t n, bool answer,
                                    int64_t now, struct lorac_err *err)
{
    struct lorac_jinja_text out = {0};
    enum lorac_status st = render(&out, c, messages, n, answer, now, err);
    if (!st) { st = encode(ids, c, &out, out.text.n, err); }
    if (!st && text) {
        lorac_buf_clear(text);
        lorac_buf_add(text, out.text.at ? out.text.at : "", out.text.n);
        if (text->no_memory) { st = no_memory(err); }
    }
    lorac_jinja_text_free(&out);
    return st;
}

/* ---- answers ---- */

static bool begins_with(const struct lorac_ids *ids, const struct lorac_ids *what)
{
    return what->n <= ids->n &&
           (what->n == 0 || memcmp(ids->at, what->at, what->n * sizeof *what->at) == 0);
}

/* Tokens from .. to-1 of a conversation. */
struct answer {
    size_t from, to;
};

/* The answer of message i of n is what stands behind the prompt for it. */
static enum lorac_status find_answer(struct answer *out, const struct lorac_chat *c,
                                     const struct lorac_message *messages, size_t i, size_t n,
                                     const struct lorac_ids *all, int64_t now,
                                     struct lorac_err *err)
{
    struct lorac_ids asked = {0};
    struct lorac_ids with = {0};
    enum lorac_status st = lorac_chat_encode(&asked, NULL, c, messages, i, true, now, err);
    if (!st) { st = lorac_chat_encode(&with, NULL, c, messages, i + 1, false, now, err); }
    if (!st && !begins_with(&with, &asked)) {
        st = lorac_fail(err, LORAC_EUSER,
                        "message %zu: the chat template asks for this answer otherwise than it "
                        "writes it, so that its first token cannot be told",
                        i + 1);
    }
    if (!st && !begins_with(all, &with)) {
        st = lorac_fail(err, LORAC_EUSER,
                        "message %zu of %zu: the chat template writes this answer otherwise where "
                        "more follows: only the last answer of a conversation can be taken",
                        i + 1, n);
    }
    *out = (struct answer){asked.n, with.n};
    for (size_t k = asked.n; k < with.n && !st; k++) { // what follows the end is the template's
        if (!lorac_token_is_end(c->t, with.at[k])) { continue; }
        out->to = k + 1;
        break;
    }
    lorac_ids_free(&asked);
    lorac_ids_free(&with);
    return st;
}

/* How many tokens the first `bytes` of the text are, where they end with one. */
static enum lorac_status tokens_before(size_t *n, const struct lorac_chat *c,
                                       const struct lorac_jinja_text *text, size_t bytes,
                                       const struct lorac_ids *all, struct lorac_err *err)
{
    struct lorac_ids front = {0};
    enum lorac_status st = encode(&front, c, text, bytes, err);
    if (!st && !begins_with(all, &front)) {
        st = lorac_fail(err, LORAC_EUSER,
                        "the chat template's generation block begins or ends within a token, at "
                        "byte %zu of what it writes",
                        bytes);
    }
    *n = front.n;
    lorac_ids_free(&front);
    return st;
}

/* The block of {% generation %} that ends last before byte `end`, which becomes its beginning. */
static enum lorac_status last_block(struct answer *out, bool *found, size_t *end,
                                    const struct lorac_chat *c, const struct lorac_jinja_text *text,
                                    const struct lorac_ids *all, struct lorac_err *err)
{
    size_t to = *end;
    while (to > 0 && !(text->mark.at[to - 1] & LORAC_JINJA_GENERATED)) {
        to--;
    }
    size_t from = to;
    while (from > 0 && (text->mark.at[from - 1] & LORAC_JINJA_GENERATED)) {
        from--;
    }
    *found = to > 0;
    *end = from;
    if (!*found) { return LORAC_OK; }
    enum lorac_status st = tokens_before(&out->from, c, text, from, all, err);
    return st ? st : tokens_before(&out->to, c, text, to, all, err);
}

/* Mark the answers of `all` (n ids) in `marks` (n), from the last on; how many were found. */
static enum lorac_status mark_answers(size_t *found, char *marks, const struct lorac_chat *c,
                                      const struct lorac_message *messages, size_t n,
                                      const struct lorac_jinja_text *text,
                                      const struct lorac_ids *all, bool last, int64_t now,
                                      struct lorac_err *err)
{
    bool blocks = lorac_jinja_generates(c->template);
    size_t end = text->text.n;
    enum lorac_status st = LORAC_OK;
    for (size_t i = n; (blocks ? end > 0 : i-- > 0) && !st && !(last && *found);) {
        struct answer a = {0};
        bool is = !blocks && strcmp(messages[i].role, "assistant") == 0;
        if (blocks) {
            st = last_block(&a, &is, &end, c, text, all, err);
        } else if (is) {
            st = find_answer(&a, c, messages, i, n, all, now, err);
        }
        if (st || !is) { continue; }
        memset(marks + a.from, 1, a.to - a.from);
        ++*found;
    }
    return st;
}

enum lorac_status lorac_chat_answers(struct lorac_ids *ids, struct lorac_buf *answers,
                                     const struct lorac_chat *c,
                                     const struct lorac_message *messages, size_t n, bool last,
                                     int64_t now, struct lorac_err *err)
{
    const size_t kept = ids->n;
    struct lorac_jinja_text text = {0};
    struct lorac_ids all = {0};
    char *marks = NULL;
    size_t found = 0;
    enum lorac_status st = render(&text, c, messages, n, false, now, err);
    if (!st) { st = encode(&all, c, &text, text.text.n, err); }
    if (!st) {
        marks = lorac_mem_new(all.n + 1, 1);
        st = marks ? mark_answers(&found, marks, c, messages, n, &text, &all, last, now, err)
                   : no_memory(err);
    }
    if (!st && found == 0) {
        st = lorac_fail(err, LORAC_EUSER, "a conversation without an answer of the assistant");
    }
    for (size_t i = 0; i < all.n && !st; i++) {
        st = lorac_ids_add(ids, all.at[i], err);
    }
    if (!st) { lorac_buf_add(answers, marks, all.n); }
    if (!st && answers->no_memory) { st = no_memory(err); }
    if (st) { ids->n = kept; }
    lorac_mem_free(marks);
    lorac_ids_free(&all);
    lorac_jinja_text_free(&text);
    return st;
}
