/* conversation.c - a row as a conversation in the form of a chat template; see datasets.h. */
#include "base/core/mem.h"
#include "datasets/dataset.h"
#include "datasets/names.h"

#include <stdio.h>
#include <string.h>

struct lorac_conversations {
    const struct lorac_chat *chat;           // borrowed
    const struct lorac_tokenizer *tokenizer; // borrowed
    struct lorac_template *said;   // what the user says, and what is answered; or what is read
    struct lorac_template *system; // NULL: it says nothing
    size_t messages;               // the variable that is all of it, or NOTHING
    bool last, append_eos;
    int64_t day;
};
#define NOTHING SIZE_MAX

static enum lorac_status no_memory(struct lorac_err *err)
{
    return lorac_fail(err, LORAC_ENOMEM, "no memory for a conversation");
}

/* ---- opening ---- */

static size_t find(const struct lorac_template_options *o, const char *name)
{
    size_t v = 0;
    while (v < o->n_variables && strcmp(o->variables[v], name) != 0) {
        v++;
    }
    return v < o->n_variables ? v : NOTHING;
}

enum lorac_status lorac_conversation_texts(struct lorac_conversation_texts *t,
                                           const struct lorac_template_options *o,
                                           struct lorac_err *err)
{
    size_t messages = find(o, "messages");
    bool given = o->prompt || o->completion;
    *t = (struct lorac_conversation_texts){o->prompt, o->completion, NULL, NOTHING};
    if (find(o, "system") != NOTHING) { t->system = "{?system}{system}{/system}"; }
    if (given) { return LORAC_OK; }
    if (messages != NOTHING) { // what is read of a row: the cells that have to be there
        t->messages = messages;
        t->prompt = t->system ? "{messages}{?system}{system}{/system}" : "{messages}";
        return LORAC_OK;
    }
    if (find(o, "user") != NOTHING && find(o, "assistant") != NOTHING) {
        t->prompt = find(o, "input") != NOTHING ? "{user}{?input}\n{input}{/input}" : "{user}";
        t->completion = "{assistant}";
        return LORAC_OK;
    }
    struct lorac_buf there = {0};
    lorac_names_hint(&there, "", o->variables, o->n_variables);
    lorac_fail(err, LORAC_EUSER,
               "template: chat: no column 'messages' (nor 'user' and 'assistant')%s; name them, as "
               "in data.columns: {messages: conversations} or {user: instruction, assistant: "
               "output}%s",
               there.at ? there.at : "", o->hint ? o->hint : "");
    lorac_buf_free(&there);
    return LORAC_EUSER;
}

enum lorac_status lorac_conversations_open(struct lorac_conversations **out,
                                           const struct lorac_conversations_options *o,
                                           struct lorac_err *err)
{
    struct lorac_conversation_texts texts = {0};
    struct lorac_template_options form = o->form;
    *out = NULL;
    if (lorac_chat_writes_date(o->chat) && !o->dated) {
        return lorac_fail(err, LORAC_EUSER,
                          "template.date: missing; the chat template writes today's date, and what "
                          "is trained would change with the day: give one, as in template: {kind: "
                          "chat, date: 2026-11-29}");
    }
    struct lorac_conversations *c = lorac_mem_new(1, sizeof *c);
    if (!c) { return no_memory(err); }
    c->chat = o->chat;
    c->tokenizer = o->tokenizer;
    c->last = o->last;
    c->append_eos = o->append_eos;
    c->day = o->day;
    enum lorac_status st = lorac_conversation_texts(&texts, &form, err);
    form.prompt = texts.prompt;
    form.completion = texts.completion;
    c->messages = texts.messages;
    if (!st) { st = lorac_template_parse(&c->said, &form, err); }
    if (o->system) { texts.system = o->system; }
    form.prompt = texts.system;
    form.completion = NULL;
    if (!st && texts.system) {
        st = lorac_template_parse(&c->system, &form, err);
        if (st && o->system) { lorac_err_prefix(err, "template.system, as "); }
    }
    if (st) {
        lorac_conversations_close(c);
        c = NULL;
    }
    *out = c;
    return st;
}

void lorac_conversations_close(struct lorac_conversations *c)
{
    if (!c) { return; }
    lorac_template_free(c->said);
    lorac_template_free(c->system);
    lorac_mem_free(c);
}

const struct lorac_template *lorac_conversations_template(const struct lorac_conversations *c)
{
    return c->said;
}

size_t lorac_conversations_messages(const struct lorac_conversations *c)
{
    return c->messages;
}

/* Whether the row's conversation uses a variable: of what is said, or of the system's words. */
bool lorac_conversations_use(const struct lorac_conversations *c, size_t variable)
{
    return lorac_template_uses(c->said, variable) ||
           (c->system && lorac_template_uses(c->system, variable));
}

bool lorac_conversations_may_be_blank(const struct lorac_conversations *c, size_t variable)
{
    bool said = lorac_template_uses(c->said, variable);
    bool system = c->system && lorac_template_uses(c->system, variable);
    return (!said || lorac_template_is_optional(c->said, variable)) &&
           (!system || lorac_template_is_optional(c->system, variable));
}

/* ---- a row's messages ---- */

static enum lorac_status add_texts(struct lorac_messages *m, const char *role,
                                   const struct lorac_text *texts, size_t n, struct lorac_err *err)
{
    struct lorac_buf b = {0};
    for (size_t i = 0; i < n; i++) {
        lorac_buf_add(&b, texts[i].at, texts[i].n);
    }
    bool says = b.n || strcmp(role, "system") != 0;
    enum lorac_status st = b.no_memory ? no_memory(err) : LORAC_OK;
    if (!st && says) { st = lorac_messages_add(m, role, b.at ? b.at : "", b.n, err); }
    lorac_buf_free(&b);
    return st;
}

static bool is_role(const struct lorac_message *m, const char *role)
{
    return strcmp(m->role, role) == 0;
}

static bool is_system(const struct lorac_message *m)
{
    return is_role(m, "system") || is_role(m, "developer");
}

static bool is_blank(const struct lorac_message *m)
{
    const struct lorac_cell cell = {m->content, strlen(m->content)};
    return lorac_cell_is_blank(&cell);
}

/* At most one of the system, then the user and the assistant in turns. The last message is `end`'s.
 */
static enum lorac_status check_order(const struct lorac_messages *m, const char *end,
                                     struct lorac_err *err)
{
    size_t first = m->n && is_system(&m->at[0]);
    for (size_t i = first; i < m->n; i++) {
        const char *expected = (i - first) % 2 ? "assistant" : "user";
        if (is_role(&m->at[i], expected)) { continue; }
        return lorac_fail(err, LORAC_EFORMAT,
                          "message %zu of %zu is of the %s, expected the %s's: they take turns%s",
                          i + 1, m->n, m->at[i].role, expected,
                          is_system(&m->at[i]) ? ", and the system speaks first and once" : "");
    }
    bool right = m->n > first && is_role(&m->at[m->n - 1], end);
    if (right) { return LORAC_OK; }
    return lorac_fail(err, LORAC_EFORMAT,
                      "the conversation of %zu messages ends with %s, expected "
                      "the %s's",
                      m->n, m->n > first ? "the user's" : "the system's, or has none", end);
}

static enum lorac_status check_blank(const struct lorac_messages *m, struct lorac_err *err)
{
    for (size_t i = 0; i < m->n; i++) {
        if (!is_blank(&m->at[i])) { continue; }
        return lorac_fail(err, LORAC_EUSER, "message %zu of %zu (%s) is blank, expected text",
                          i + 1, m->n, m->at[i].role);
    }
    return LORAC_OK;
}

/* The messages of a row; `asks`: up to the user's last words. */
static enum lorac_status read_messages(struct lorac_messages *m,
                                       const struct lorac_conversations *c,
                                       const struct lorac_cell *values, bool asks,
                                       struct lorac_err *err)
{
    struct lorac_text texts[LORAC_MAX_PARTS];
    enum lorac_status st = LORAC_OK;
    if (c->system) {
        size_t n = lorac_template_prompt(texts, c->system, values);
        st = add_texts(m, "system", texts, n, err);
    }
    if (c->messages != NOTHING) {
        const struct lorac_cell *cell = &values[c->messages];
        bool systems = m->n > 0;
        if (!st) { st = lorac_messages_read(m, cell->at, cell->n, "messages", err); }
        if (!st && systems && m->n > 1 && is_system(&m->at[1])) {
            st = lorac_fail(err, LORAC_EFORMAT,
                            "the system speaks twice: in its column or template.system, and in the "
                            "first of the messages");
        }
        if (!st && asks && m->n > 1 && is_role(&m->at[m->n - 1], "assistant")) {
            lorac_messages_drop(m); // the answer that is known
        }
        return st ? st : check_order(m, asks ? "user" : "assistant", err);
    }
    if (!st) {
        st = add_texts(m, "user", texts, lorac_template_prompt(texts, c->said, values), err);
    }
    if (!st && !asks) {
        st = add_texts(m, "assistant", texts, lorac_template_completion(texts, c->said, values),
                       err);
    }
    return st;
}

/* ---- ids ---- */

/* Behind an answer stands what ends it: where the template writes that outside of what it marks as
 * the answer, it is trained, too; where it writes none behind the last one, EOS is. */
static enum lorac_status end_answers(struct lorac_ids *ids, struct lorac_buf *marks,
                                     const struct lorac_conversations *c, struct lorac_err *err)
{
    size_t end = ids->n; // of the last answer
    while (end > 0 && !marks->at[end - 1]) {
        end--;
    }
    for (size_t i = 1; c->append_eos && i < ids->n; i++) {
        bool open =
            marks->at[i - 1] && !marks->at[i] && !lorac_token_is_end(c->tokenizer, ids->at[i - 1]);
        if (!open || !lorac_token_is_end(c->tokenizer, ids->at[i])) { continue; }
        marks->at[i] = 1;
        end = i + 1 > end ? i + 1 : end;
    }
    ids->n = marks->n = end; // what follows is read by nobody
    bool ends = end > 0 && lorac_token_is_end(c->tokenizer, ids->at[end - 1]);
    if (!c->append_eos || ends) { return LORAC_OK; }
    int32_t eos = lorac_tokenizer_eos(c->tokenizer);
    if (eos < 0) {
        return lorac_fail(err, LORAC_EUSER,
                          "append_eos: the chat template writes no end behind an answer, and the "
                          "tokenizer has no end-of-sequence token, expected one");
    }
    char mark = 1;
    lorac_buf_add(marks, &mark, 1);
    enum lorac_status st = lorac_ids_add(ids, eos, err);
    return !st && marks->no_memory ? no_memory(err) : st;
}

static enum lorac_status encode(struct lorac_ids *ids, struct lorac_buf *marks,
                                const struct lorac_conversations *c, const struct lorac_messages *m,
                                bool asks, struct lorac_err *err)
{
    ids->n = 0;
    lorac_buf_clear(marks);
    if (asks) { return lorac_chat_encode(ids, NULL, c->chat, m->at, m->n, true, c->day, err); }
    enum lorac_status st =
        lorac_chat_answers(ids, marks, c->chat, m->at, m->n, c->last, c->day, err);
    return st ? st : end_answers(ids, marks, c, err);
}

/* The oldest turn, the user's and the answer, goes; false: there is one alone. */
static bool drop_turn(struct lorac_messages *m, bool asks)
{
    size_t first = is_system(&m->at[0]);
    if (m->n - first < (asks ? 3U : 4U)) { return false; }
    struct lorac_message turn[2] = {m->at[first], m->at[first + 1]};
    memmove(&m->at[first], &m->at[first + 2], (m->n - first - 2) * sizeof *m->at);
    m->at[m->n - 2] = turn[0];
    m->at[m->n - 1] = turn[1];
    lorac_messages_drop(m);
    lorac_messages_drop(m);
    return true;
}

/* The beginning of the user's last words goes, as little as makes `max` tokens of the whole. *fits
 * false: not even their last character does. */
static enum lorac_status cut_words(bool *fits, struct lorac_ids *ids, struct lorac_buf *marks,
                                   const struct lorac_conversations *c, struct lorac_messages *m,
                                   bool asks, size_t max, struct lorac_err *err)
{
    struct lorac_message *user = &m->at[m->n - (asks ? 1 : 2)];
    const char *whole = user->content;
    size_t lo = 0; // is too long
    size_t hi = strlen(whole);
    size_t best = 0;
    enum lorac_status st = LORAC_OK;
    while (lo + 1 < hi && !st) {
        size_t middle = lo + (hi - lo) / 2;
        size_t at = middle; // a character's beginning
        while (at > lo && ((unsigned char)whole[at] & 0xC0) == 0x80) {
            at--;
        }
        if (at == lo) {
            lo = middle;
            continue;
        }
        user->content = whole + at;
        st = encode(ids, marks, c, m, asks, err);
        bool fit = ids->n <= max;
        if (fit) { best = at; }
        if (fit) {
            hi = at;
        } else {
            lo = middle;
        }
    }
    *fits = best > 0;
    user->content = whole + best;
    if (!st && best) { st = encode(ids, marks, c, m, asks, err); }
    user->content = whole;
    return st;
}

/* The ids of the messages, at most `max` of them. *cut: how many went; SIZE_MAX: they do not fit.
 */
static enum lorac_status fit(struct lorac_ids *ids, struct lorac_buf *marks, size_t *cut,
                             const struct lorac_conversations *c, struct lorac_messages *m,
                             bool asks, size_t max, bool cuts, struct lorac_err *err)
{
    enum lorac_status st = encode(ids, marks, c, m, asks, err);
    size_t full = ids->n;
    bool fits = ids->n <= max;
    while (!st && ids->n > max && cuts && drop_turn(m, asks)) {
        st = encode(ids, marks, c, m, asks, err);
        fits = ids->n <= max;
    }
    if (!st && !fits && cuts) { st = cut_words(&fits, ids, marks, c, m, asks, max, err); }
    *cut = fits ? full - ids->n : SIZE_MAX;
    if (!st && !fits) { ids->n = full; } // for the message about it; not to be used
    return st;
}

enum lorac_status lorac_conversation_prompt(struct lorac_ids *ids, size_t *cut,
                                            const struct lorac_conversations *c,
                                            const struct lorac_cell *values, size_t max, bool cuts,
                                            struct lorac_err *err)
{
    struct lorac_messages m = {0};
    struct lorac_ids own = {0};
    struct lorac_buf marks = {0};
    enum lorac_status st = read_messages(&m, c, values, true, err);
    if (!st) { st = fit(&own, &marks, cut, c, &m, true, max, cuts, err); }
    for (size_t i = 0; i < own.n && *cut != SIZE_MAX && !st; i++) {
        st = lorac_ids_add(ids, own.at[i], err);
    }
    lorac_buf_free(&marks);
    lorac_ids_free(&own);
    lorac_messages_free(&m);
    return st;
}

/* What stands behind the prompt: the last answer and its end. */
enum lorac_status lorac_conversation_answer(struct lorac_ids *ids,
                                            const struct lorac_conversations *c,
                                            const struct lorac_cell *values, struct lorac_err *err)
{
    struct lorac_messages m = {0};
    struct lorac_ids own = {0};
    struct lorac_buf marks = {0};
    struct lorac_conversations last = *c;
    last.last = true;
    enum lorac_status st = read_messages(&m, c, values, false, err);
    if (!st) { m.at[m.n - 1].untrained = false; } // it is asked for all the same
    if (!st) { st = encode(&own, &marks, &last, &m, false, err); }
    for (size_t i = 0; i < own.n && !st; i++) {
        if (marks.at[i]) { st = lorac_ids_add(ids, own.at[i], err); }
    }
    lorac_buf_free(&marks);
    lorac_ids_free(&own);
    lorac_messages_free(&m);
    return st;
}

/* e->trained_from and e->gaps of tokens that are marked. */
static enum lorac_status find_gaps(struct lorac_example *e, const struct lorac_buf *marks,
                                   struct lorac_err *err)
{
    size_t i = 1; // the first token is predicted by none
    enum lorac_status st = LORAC_OK;
    while (i < marks->n && !marks->at[i]) {
        i++;
    }
    e->trained_from = i;
    while (i < marks->n && !st) {
        size_t from = i;
        while (i < marks->n && marks->at[i] == marks->at[from]) {
            i++;
        }
        const uint32_t gap[2] = {(uint32_t)from, (uint32_t)i};
        if (!marks->at[from]) { st = lorac_gaps_add(&e->gaps, gap, 2, err); }
    }
    return st;
}

/* What is wrong with the row, where it is not want of memory, becomes its verdict. */
static enum lorac_status judge(struct lorac_made *made, enum lorac_status st,
                               const struct lorac_err *why, struct lorac_err *err)
{
    if (!st) { return LORAC_OK; }
    if (st == LORAC_ENOMEM) { return lorac_fail(err, st, "%s", why->text); }
    made->verdict = LORAC_ROW_WRONG;
    (void)snprintf(made->why, sizeof made->why, "%.199s", why->text);
    return LORAC_OK;
}

enum lorac_status lorac_conversation_make(struct lorac_made *made, struct lorac_example *e,
                                          const struct lorac_dataset *d, struct lorac_err *err)
{
    const struct lorac_conversations *c = d->talk;
    struct lorac_messages m = {0};
    struct lorac_buf marks = {0};
    struct lorac_err why = {0};
    size_t cut = 0;
    bool blank = false;
    e->ids.n = e->gaps.n = 0;
    enum lorac_status st = read_messages(&m, c, e->values, false, &why);
    if (!st && d->o.on_empty != LORAC_BAD_KEEP && c->messages != NOTHING) {
        st = check_blank(&m, &why);
        blank = st == LORAC_EUSER;
    }
    if (!st) {
        bool cuts = d->o.on_too_long == LORAC_LONG_TRUNCATE_PROMPT;
        st = fit(&e->ids, &marks, &cut, c, &m, false, d->o.max_length, cuts, &why);
    }
    bool good = !st;
    st = judge(made, st, &why, err);
    if (blank) { made->verdict = LORAC_ROW_EMPTY; }
    if (good && cut == SIZE_MAX) {
        made->verdict = LORAC_ROW_LONG;
        for (size_t i = 0; i < marks.n; i++) {
            made->completion += marks.at[i] == 1;
        }
    } else if (good) {
        made->cut = cut;
        st = find_gaps(e, &marks, err);
        if (e->ids.n <= e->trained_from) { made->verdict = LORAC_ROW_UNTRAINED; }
    }
    lorac_buf_free(&marks);
    lorac_messages_free(&m);
    return st;
}
