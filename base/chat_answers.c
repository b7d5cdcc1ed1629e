/* chat_answers.c - which tokens of a conversation the assistant said; see chat.h. Answers are found
 * in the text, by bytes; then the text is encoded in one, but for a token that would hold the end
 * of a prompt and the beginning of its answer: what is asked with ends where it ends. */
#include "base/chat_impl.h"
#include "base/core/mem.h"

#include <string.h>

struct answer {
    size_t from, to; // bytes of the text
    bool cut;        // a token would begin before `from` and end behind it
};
struct finding {
    const struct lorac_chat *c;
    const struct lorac_message *messages; // (n)
    size_t n;
    int64_t now;
    struct lorac_jinja_text text; // of all
    struct answer *at;            // (found) from the last on
    size_t found, cap;
    struct lorac_ids ids;
};

static enum lorac_status no_memory(struct lorac_err *err)
{
    return lorac_fail(err, LORAC_ENOMEM, "no memory for a chat");
}

static enum lorac_status add_answer(struct finding *f, size_t from, size_t to,
                                    struct lorac_err *err)
{
    struct answer *at = lorac_mem_grow(f->at, f->found, &f->cap, f->found + 1, sizeof *at);
    if (!at) { return no_memory(err); }
    f->at = at;
    at[f->found++] = (struct answer){.from = from, .to = to};
    return LORAC_OK;
}

static bool begins_with(const struct lorac_jinja_text *text, const struct lorac_jinja_text *what)
{
    size_t n = what->text.n;
    return n <= text->text.n && (n == 0 || memcmp(text->text.at, what->text.at, n) == 0);
}

/* The answer of message i is what stands behind the prompt for it. */
static enum lorac_status find_turn(struct finding *f, size_t i, struct lorac_err *err)
{
    struct lorac_jinja_text asked = {0};
    struct lorac_jinja_text with = {0};
    enum lorac_status st = lorac_chat_render(&asked, f->c, f->messages, i, true, f->now, err);
    if (!st) { st = lorac_chat_render(&with, f->c, f->messages, i + 1, false, f->now, err); }
    if (!st && !begins_with(&with, &asked)) {
        st = lorac_fail(err, LORAC_EUSER,
                        "message %zu: the chat template asks for this answer otherwise than it "
                        "writes it, so that its first token cannot be told",
                        i + 1);
    }
    if (!st && !begins_with(&f->text, &with)) {
        st = lorac_fail(err, LORAC_EUSER,
                        "message %zu of %zu: the chat template writes this answer otherwise where "
                        "more follows: only the last answer of a conversation can be taken",
                        i + 1, f->n);
    }
    if (!st) { st = add_answer(f, asked.text.n, with.text.n, err); }
    lorac_jinja_text_free(&asked);
    lorac_jinja_text_free(&with);
    return st;
}

/* The assistant's message before number i of n (from the last); n: there is none. */
static size_t turn_before(const struct finding *f, size_t i)
{
    while (i-- > 0) {
        if (strcmp(f->messages[i].role, "assistant") == 0) { return i; }
    }
    return f->n;
}

static enum lorac_status find_turns(struct finding *f, bool last, struct lorac_err *err)
{
    enum lorac_status st = LORAC_OK;
    for (size_t i = turn_before(f, f->n); i < f->n && !st; i = last ? f->n : turn_before(f, i)) {
        if (!f->messages[i].untrained) { st = find_turn(f, i, err); }
    }
    return st;
}

/* Of blocks those that are trained: each is a turn's, where some are not. */
static enum lorac_status choose_blocks(struct finding *f, bool last, struct lorac_err *err)
{
    size_t blocks = f->found;
    size_t turns = 0;
    bool all = true;
    if (last && f->found > 1) { f->found = 1; }
    for (size_t i = turn_before(f, f->n); i < f->n; i = turn_before(f, i)) {
        all = all && !f->messages[i].untrained;
        turns++;
    }
    if (all) { return LORAC_OK; }
    if (turns != blocks) {
        return lorac_fail(err, LORAC_EUSER,
                          "the chat template marks %zu answers of %zu: which are those of weight 0 "
                          "cannot be told",
                          blocks, turns);
    }
    size_t kept = 0;
    for (size_t i = f->n, k = 0; k < f->found; k++) {
        i = turn_before(f, i);
        if (!f->messages[i].untrained) { f->at[kept++] = f->at[k]; }
    }
    f->found = kept;
    return LORAC_OK;
}

/* The blocks of {% generation %}. */
static enum lorac_status find_blocks(struct finding *f, bool last, struct lorac_err *err)
{
    const char *mark = f->text.mark.at;
    enum lorac_status st = LORAC_OK;
    for (size_t to = f->text.text.n; to > 0 && !st;) {
        if (!(mark[to - 1] & LORAC_JINJA_GENERATED)) {
            to--;
            continue;
        }
        size_t from = to;
        while (from > 0 && (mark[from - 1] & LORAC_JINJA_GENERATED)) {
            from--;
        }
        st = add_answer(f, from, to, err);
        to = from;
    }
    return st ? st : choose_blocks(f, last, err);
}

/* Append the ids of the first `bytes`, cut where answers say so. */
static enum lorac_status encode(struct lorac_ids *ids, const struct finding *f, size_t bytes,
                                struct lorac_err *err)
{
    size_t from = 0;
    enum lorac_status st = LORAC_OK;
    for (size_t k = f->found; k-- > 0 && !st;) {
        if (!f->at[k].cut || f->at[k].from >= bytes) { continue; }
        st = lorac_chat_ids(ids, f->c, &f->text, from, f->at[k].from, err);
        from = f->at[k].from;
    }
    return st ? st : lorac_chat_ids(ids, f->c, &f->text, from, bytes, err);
}

/* How many tokens the first `bytes` are; *whole: they end with one. */
static enum lorac_status tokens_before(size_t *n, bool *whole, const struct finding *f,
                                       size_t bytes, struct lorac_err *err)
{
    struct lorac_ids front = {0};
    enum lorac_status st = encode(&front, f, bytes, err);
    *n = front.n;
    *whole = front.n <= f->ids.n &&
             (front.n == 0 || memcmp(f->ids.at, front.at, front.n * sizeof *front.at) == 0);
    lorac_ids_free(&front);
    return st;
}

/* f->ids: all of the text, no token across the beginning of an answer. */
static enum lorac_status encode_all(struct finding *f, struct lorac_err *err)
{
    enum lorac_status st = encode(&f->ids, f, f->text.text.n, err);
    for (size_t k = f->found; k-- > 0 && !st;) { // from the first on
        size_t n = 0;
        bool whole = false;
        st = tokens_before(&n, &whole, f, f->at[k].from, err);
        if (st || whole) { continue; }
        f->at[k].cut = true;
        f->ids.n = 0;
        st = encode(&f->ids, f, f->text.text.n, err);
    }
    return st;
}

/* Mark the tokens of an answer; of a turn up to what ends it: what follows that is the template's.
 */
static enum lorac_status mark(char *marks, const struct finding *f, const struct answer *a,
                              bool turn, struct lorac_err *err)
{
    size_t from = 0;
    size_t to = 0;
    bool begins = false;
    bool ends = false;
    enum lorac_status st = tokens_before(&from, &begins, f, a->from, err);
    if (!st) { st = tokens_before(&to, &ends, f, a->to, err); }
    if (st) { return st; }
    for (size_t k = from; turn && begins && k < to && k < f->ids.n; k++) {
        if (!lorac_token_is_end(f->c->t, f->ids.at[k])) { continue; }
        to = k + 1;
        ends = true;
        break;
    }
    if (!begins || !ends) {
        return lorac_fail(err, LORAC_EUSER,
                          "an answer begins or ends within a token, at byte %zu of what the chat "
                          "template writes",
                          begins ? a->to : a->from);
    }
    memset(marks + from, 1, to - from);
    return LORAC_OK;
}

enum lorac_status lorac_chat_answers(struct lorac_ids *ids, struct lorac_buf *answers,
                                     const struct lorac_chat *c,
                                     const struct lorac_message *messages, size_t n, bool last,
                                     int64_t now, struct lorac_err *err)
{
    const size_t kept = ids->n;
    const bool blocks = lorac_jinja_generates(c->template);
    struct finding f = {.c = c, .messages = messages, .n = n, .now = now};
    char *marks = NULL;
    enum lorac_status st = lorac_chat_render(&f.text, c, messages, n, false, now, err);
    if (!st) { st = blocks ? find_blocks(&f, last, err) : find_turns(&f, last, err); }
    if (!st && f.found == 0) {
        bool any = turn_before(&f, n) < n;
        st = lorac_fail(err, LORAC_EUSER, "a conversation without an answer of the assistant%s",
                        any ? " that is trained: its weight is 0" : "");
    }
    if (!st) { st = encode_all(&f, err); }
    if (!st) {
        marks = lorac_mem_new(f.ids.n + 1, 1);
        if (!marks) { st = no_memory(err); }
    }
    for (size_t k = 0; k < f.found && !st; k++) {
        st = mark(marks, &f, &f.at[k], !blocks, err);
    }
    for (size_t i = 0; i < f.ids.n && !st; i++) {
        st = lorac_ids_add(ids, f.ids.at[i], err);
    }
    if (!st) { lorac_buf_add(answers, marks, f.ids.n); }
    if (!st && answers->no_memory) { st = no_memory(err); }
    if (st) { ids->n = kept; }
    lorac_mem_free(marks);
    lorac_mem_free(f.at);
    lorac_ids_free(&f.ids);
    lorac_jinja_text_free(&f.text);
    return st;
}
