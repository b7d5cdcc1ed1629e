/* example.c - one row becomes ids, of which a suffix is trained; see datasets.h. */
#include "base/core/mem.h"
#include "datasets/dataset.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

/* ---- the two functions that make tokens ---- */

/* Each with *encoder, which they make where it is NULL. */

static enum lorac_status encode_prompt(struct lorac_ids *ids, struct lorac_encoder **encoder,
                                       const struct lorac_template *t,
                                       const struct lorac_tokenizer *tokenizer,
                                       const struct lorac_cell *values, unsigned flags,
                                       struct lorac_err *err)
{
    struct lorac_text texts[LORAC_MAX_PARTS];
    size_t n = lorac_template_prompt(texts, t, values);
    enum lorac_status st = lorac_encoder_for(encoder, tokenizer, err);
    return st ? st : lorac_encoder_encode(ids, *encoder, texts, n, flags, err);
}

static enum lorac_status encode_completion(struct lorac_ids *ids, struct lorac_encoder **encoder,
                                           const struct lorac_template *t,
                                           const struct lorac_tokenizer *tokenizer,
                                           const struct lorac_cell *values, bool append_eos,
                                           struct lorac_err *err)
{
    struct lorac_text texts[LORAC_MAX_PARTS];
    size_t n = lorac_template_completion(texts, t, values);
    size_t before = ids->n;
    bool continues = lorac_template_has_prompt(t);
    unsigned flags = continues ? LORAC_ENCODE_CONTINUES : LORAC_ENCODE_BEGINS;
    enum lorac_status st = lorac_encoder_for(encoder, tokenizer, err);
    if (!st) { st = lorac_encoder_encode(ids, *encoder, texts, n, flags, err); }
    if (st || !append_eos) { return st; }
    int32_t eos = lorac_tokenizer_eos(tokenizer);
    if (eos < 0) {
        return lorac_fail(err, LORAC_EUSER,
                          "append_eos: the tokenizer has no end-of-sequence "
                          "token, expected one");
    }
    bool there = ids->n > before && ids->at[ids->n - 1] == eos;
    return there ? LORAC_OK : lorac_ids_add(ids, eos, err);
}

enum lorac_status lorac_prompt_encode(struct lorac_ids *ids, const struct lorac_template *t,
                                      const struct lorac_tokenizer *tokenizer,
                                      const struct lorac_cell *values, struct lorac_err *err)
{
    struct lorac_encoder *encoder = NULL;
    enum lorac_status st =
        encode_prompt(ids, &encoder, t, tokenizer, values, LORAC_ENCODE_BEGINS, err);
    lorac_encoder_free(encoder);
    return st;
}

enum lorac_status lorac_completion_encode(struct lorac_ids *ids, const struct lorac_template *t,
                                          const struct lorac_tokenizer *tokenizer,
                                          const struct lorac_cell *values, bool append_eos,
                                          struct lorac_err *err)
{
    struct lorac_encoder *encoder = NULL;
    enum lorac_status st = encode_completion(ids, &encoder, t, tokenizer, values, append_eos, err);
    lorac_encoder_free(encoder);
    return st;
}

enum lorac_status lorac_prompt_encode_at(struct lorac_ids *ids, struct lorac_encoder **encoder,
                                         const struct lorac_dataset *d,
                                         const struct lorac_cell *values, bool begins,
                                         struct lorac_err *err)
{
    unsigned flags = begins ? LORAC_ENCODE_BEGINS : LORAC_ENCODE_CONTINUES;
    return encode_prompt(ids, encoder, d->template, d->tokenizer, values, flags, err);
}

enum lorac_status lorac_dataset_answer(struct lorac_ids *ids, const struct lorac_dataset *d,
                                       const struct lorac_cell *values, struct lorac_err *err)
{
    if (d->talk) { return lorac_conversation_answer(ids, d->talk, values, err); }
    return lorac_completion_encode(ids, d->template, d->tokenizer, values,
                                   d->o.append_eos && !d->shots, err);
}

enum lorac_status lorac_answer_encode(struct lorac_ids *ids, struct lorac_encoder **encoder,
                                      const struct lorac_dataset *d,
                                      const struct lorac_cell *values, struct lorac_err *err)
{
    bool eos = d->o.append_eos && !d->shots;
    if (d->talk) { return lorac_conversation_answer(ids, d->talk, values, err); }
    enum lorac_status st =
        encode_completion(ids, encoder, d->template, d->tokenizer, values, eos, err);
    bool separated = d->o.append_eos && d->shots;
    for (size_t i = 0; separated && i < d->shots->end.n && !st; i++) {
        st = lorac_ids_add(ids, d->shots->end.at[i], err);
    }
    return st;
}

/* ---- cells ---- */

static bool is_space(utf8proc_int32_t c)
{
    if (c == ' ' || (c >= '\t' && c <= '\r') || c == 0x85) { return true; }
    if (c < 0x80) { return false; }
    if (c == 0x200B || c == 0xFEFF) { return true; } // of no width: nothing to read either
    utf8proc_category_t k = utf8proc_category(c);
    return k == UTF8PROC_CATEGORY_ZS || k == UTF8PROC_CATEGORY_ZL || k == UTF8PROC_CATEGORY_ZP;
}

bool lorac_cell_is_blank(const struct lorac_cell *cell)
{
    size_t i = 0;
    while (i < cell->n) {
        utf8proc_int32_t c = 0;
        utf8proc_ssize_t n = utf8proc_iterate((const utf8proc_uint8_t *)cell->at + i,
                                              (utf8proc_ssize_t)(cell->n - i), &c);
        if (n <= 0 || !is_space(c)) { return false; }
        i += (size_t)n;
    }
    return true;
}

static int compare_value(const void *key, const void *element)
{
    const struct lorac_cell *cell = key;
    const struct lorac_mapping *m = element;
    size_t n = cell->n < m->n_value ? cell->n : m->n_value;
    int c = n ? memcmp(cell->at, m->value, n) : 0;
    return c ? c : (cell->n > m->n_value) - (cell->n < m->n_value);
}

struct lorac_mapping *lorac_label_map(const struct lorac_dataset *d, const struct lorac_cell *cell)
{
    return bsearch(cell, d->labels, d->n_labels, sizeof *d->labels, compare_value);
}

static bool map_label(struct lorac_cell *cell, struct lorac_made *made,
                      const struct lorac_dataset *d)
{
    const struct lorac_mapping *m = lorac_label_map(d, cell);
    if (!m) { return false; }
    made->mapping = (size_t)(m - d->labels);
    *cell = (struct lorac_cell){.at = m->label, .n = m->n_label};
    return true;
}

static bool is_target(const struct lorac_dataset *d, size_t v)
{
    return d->passages && v == d->label_variable;
}

bool lorac_dataset_uses(const struct lorac_dataset *d, size_t v)
{
    if (is_target(d, v)) { return true; }
    if (d->passages) { return lorac_template_uses(lorac_passages_template(d->passages), v); }
    return d->talk ? lorac_conversations_use(d->talk, v) : lorac_template_uses(d->template, v);
}

static bool may_be_blank(const struct lorac_dataset *d, size_t v)
{
    if (d->talk) { return lorac_conversations_may_be_blank(d->talk, v); }
    return !is_target(d, v) && lorac_template_is_optional(lorac_dataset_template(d), v);
}

/* A list of JSON may stand there. */
static bool takes_list(const struct lorac_dataset *d, size_t v)
{
    enum lorac_target target = d->objective->target;
    bool many = target == LORAC_TARGET_LABELS || target == LORAC_TARGET_TAGS;
    bool words = d->passages && v == lorac_passages_words(d->passages);
    return words || (many && is_target(d, v));
}

static bool is_conversation(const struct lorac_dataset *d, size_t v)
{
    return d->talk && lorac_conversations_messages(d->talk) == v;
}

/* Beside a whole conversation: what it would have to be written with. */
static bool has_tools(const struct lorac_dataset *d, const struct lorac_row *row)
{
    if (!d->talk || d->tools == SIZE_MAX) { return false; }
    const struct lorac_cell *cell = &row->cells[d->tools];
    bool none = cell->n == 2 && memcmp(cell->at, "[]", 2) == 0;
    return !none && !lorac_cell_is_blank(cell);
}

enum lorac_status lorac_example_read(struct lorac_made *made, struct lorac_example *e,
                                     const struct lorac_dataset *d, size_t row,
                                     struct lorac_err *err)
{
    *made = (struct lorac_made){.mapping = d->n_labels};
    struct lorac_cell *values =
        lorac_mem_grow(e->values, 0, &e->cap_values, d->n_variables, sizeof *values);
    if (!values) { return lorac_fail(err, LORAC_ENOMEM, "no memory for a row's values"); }
    e->values = values;
    enum lorac_status st = lorac_table_row(&e->row, d->table, row, err);
    if (st) { return st; }
    for (size_t v = 0; v < d->n_variables; v++) {
        values[v] = e->row.cells[d->columns[v]];
        if (!lorac_dataset_uses(d, v)) { continue; }
        made->variable = v;
        bool nested = e->row.nested && e->row.nested[d->columns[v]];
        if (nested && !is_conversation(d, v) && !takes_list(d, v)) {
            made->verdict = LORAC_ROW_WRONG;
            (void)snprintf(made->why, sizeof made->why,
                           "'%.80s' holds %s, expected text or a number", d->names[v],
                           *values[v].at == '[' ? "a list" : "an object");
            break;
        }
        bool label = v == d->label_variable && d->n_labels > 0 && !takes_list(d, v);
        if (lorac_cell_is_blank(&values[v])) {
            bool keep =
                (d->o.on_empty == LORAC_BAD_KEEP && !is_conversation(d, v)) || may_be_blank(d, v);
            made->kept_empty = made->kept_empty || keep;
            if (!keep) { made->verdict = LORAC_ROW_EMPTY; }
        }
        if (!made->verdict && label && !map_label(&values[v], made, d)) {
            made->verdict = LORAC_ROW_UNKNOWN_LABEL;
        }
        if (made->verdict) { break; }
    }
    if (!made->verdict && has_tools(d, &e->row)) {
        made->verdict = LORAC_ROW_WRONG;
        (void)snprintf(made->why, sizeof made->why,
                       "'tools' is not blank: calls of tools are not supported");
    }
    return LORAC_OK;
}

enum lorac_status lorac_dataset_values(struct lorac_example *e, const struct lorac_dataset *d,
                                       size_t i, struct lorac_err *err)
{
    struct lorac_made made;
    return lorac_example_read(&made, e, d, d->entries[i].row, err);
}

/* ---- ids ---- */

enum lorac_status lorac_prompt_begin(size_t *n, const struct lorac_tokenizer *t,
                                     struct lorac_err *err)
{
    struct lorac_ids begin = {0};
    enum lorac_status st = lorac_encode(&begin, t, NULL, 0, LORAC_ENCODE_BEGINS, err);
    *n = begin.n;
    lorac_ids_free(&begin);
    return st;
}

bool lorac_prompt_cut(struct lorac_ids *ids, size_t prompt, size_t over, size_t n_begin,
                      const struct lorac_tokenizer *t)
{
    size_t front = n_begin;
    while (front < prompt && ids->at[front] == lorac_tokenizer_bos(t)) {
        front++; // the template's own
    }
    size_t least = front ? front : 1; // or one token for the completion to go on from
    if (prompt < least || over > prompt - least) { return false; }
    memmove(ids->at + front, ids->at + front + over, (ids->n - front - over) * sizeof *ids->at);
    ids->n -= over;
    return true;
}

enum lorac_status lorac_example_make(struct lorac_made *made, struct lorac_example *e,
                                     const struct lorac_dataset *d, size_t row,
                                     struct lorac_err *err)
{
    enum lorac_status st = lorac_example_read(made, e, d, row, err);
    if (st || made->verdict) { return st; }
    if (d->talk) { return lorac_conversation_make(made, e, d, err); }
    if (d->passages) { return lorac_passage_example(made, e, d, err); }
    e->ids.n = e->gaps.n = 0;
    size_t prompt = d->n_begin; // with no prompt, the completion brings BOS itself
    if (lorac_template_has_prompt(d->template)) {
        st = lorac_prompt_encode_at(&e->ids, &e->encoder, d, e->values, !d->shots, err);
        if (st) { goto done; }
        prompt = e->ids.n;
        if (prompt == 0 && !d->shots) {
            made->verdict = LORAC_ROW_PROMPTLESS;
            return LORAC_OK;
        }
    }
    st = lorac_answer_encode(&e->ids, &e->encoder, d, e->values, err);
    if (st) { goto done; }
    made->completion = e->ids.n - prompt;
    if (e->ids.n > d->o.max_length) {
        size_t over = e->ids.n - d->o.max_length;
        bool cuts = d->o.on_too_long == LORAC_LONG_TRUNCATE_PROMPT &&
                    lorac_template_has_prompt(d->template);
        if (!cuts || !lorac_prompt_cut(&e->ids, prompt, over, d->n_begin, d->tokenizer)) {
            made->verdict = LORAC_ROW_LONG;
            return LORAC_OK;
        }
        made->cut = over;
        prompt -= over;
    }
    e->trained_from = d->o.train_on == LORAC_TRAIN_ALL || prompt == 0 ? 1 : prompt;
    if (e->ids.n <= e->trained_from) { made->verdict = LORAC_ROW_UNTRAINED; }
done:
    if (st) {
        lorac_err_prefix(err, "%s:%llu: ", lorac_table_file(d->table),
                         (unsigned long long)e->row.line);
    }
    return st;
}

enum lorac_status lorac_dataset_prompt(struct lorac_example *e, const struct lorac_dataset *d,
                                       size_t i, size_t room, struct lorac_err *err)
{
    struct lorac_made made;
    enum lorac_status st = lorac_example_read(&made, e, d, d->entries[i].row, err);
    if (st) { return st; }
    e->ids.n = e->gaps.n = 0;
    size_t left = d->o.max_length > room ? d->o.max_length - room : 0;
    size_t cut = 0;
    if (d->talk) {
        st = lorac_conversation_prompt(&e->ids, &cut, d->talk, e->values, left, true, err);
    } else {
        st = lorac_prompt_encode_at(&e->ids, &e->encoder, d, e->values, !d->shots, err);
    }
    if (st) { return st; }
    if (cut == SIZE_MAX || (e->ids.n > left && !lorac_prompt_cut(&e->ids, e->ids.n, e->ids.n - left,
                                                                 d->n_begin, d->tokenizer))) {
        return lorac_fail(err, LORAC_EUSER,
                          "%s:%llu: %zu tokens behind the prompt leave it no room, expected "
                          "at most max_length %zu for both",
                          lorac_table_file(d->table), (unsigned long long)e->row.line, room,
                          d->o.max_length);
    }
    e->trained_from = e->ids.n;
    return LORAC_OK;
}

struct lorac_dataset_options lorac_dataset_options_default(void)
{
    return (struct lorac_dataset_options){
        .append_eos = true, .max_length = 256, .cache = (size_t)8 << 20};
}

const struct lorac_tokenizer *lorac_dataset_tokenizer(const struct lorac_dataset *d)
{
    return d->tokenizer;
}

size_t lorac_dataset_max_length(const struct lorac_dataset *d)
{
    return d->o.max_length;
}

void lorac_example_free(struct lorac_example *e)
{
    lorac_ids_free(&e->ids);
    lorac_ids_free(&e->types);
    lorac_ids_free(&e->labels);
    lorac_passage_free(&e->passage);
    lorac_mem_free(e->gaps.at);
    lorac_encoder_free(e->encoder);
    lorac_row_free(&e->row);
    lorac_mem_free(e->values);
    *e = (struct lorac_example){0};
}

/* ---- what is trained ---- */

enum lorac_status lorac_gaps_add(struct lorac_gaps *g, const uint32_t *at, size_t n,
                                 struct lorac_err *err)
{
    if (n == 0) { return LORAC_OK; }
    uint32_t *all = lorac_mem_grow(g->at, g->n, &g->cap, g->n + n, sizeof *all);
    if (!all) { return lorac_fail(err, LORAC_ENOMEM, "no memory for a conversation"); }
    g->at = all;
    memcpy(all + g->n, at, n * sizeof *at);
    g->n += n;
    return LORAC_OK;
}

bool lorac_example_trains(const struct lorac_example *e, size_t token)
{
    if (token < e->trained_from) { return false; }
    for (size_t g = 0; g < e->gaps.n; g += 2) {
        if (token >= e->gaps.at[g] && token < e->gaps.at[g + 1]) { return false; }
    }
    return true;
}

/* ---- a hash ---- */

static uint64_t mix(uint64_t h, uint32_t value) // SplitMix64's mixer
{
    h += (uint64_t)value + 0x9E3779B97F4A7C15U;
    h = (h ^ (h >> 30)) * 0xBF58476D1CE4E5B9U;
    h = (h ^ (h >> 27)) * 0x94D049BB133111EBU;
    return h ^ (h >> 31);
}

uint64_t lorac_example_hash(const struct lorac_example *e)
{
    uint64_t h = 0x9E3779B97F4A7C15U ^ e->trained_from;
    for (size_t i = 0; i < e->ids.n; i++) {
        h = mix(h, (uint32_t)e->ids.at[i]);
    }
    for (size_t g = 0; g < e->gaps.n; g++) {
        h = mix(h, e->gaps.at[g]);
    }
    for (size_t k = 0; k < e->labels.n; k++) {
        h = mix(h, (uint32_t)e->labels.at[k]);
    }
    if (e->number != 0.0) {
        uint64_t bits = 0;
        memcpy(&bits, &e->number, sizeof bits);
        h = mix(mix(h, (uint32_t)bits), (uint32_t)(bits >> 32));
    }
    return h;
}
