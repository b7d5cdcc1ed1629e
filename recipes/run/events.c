/* events.c - see events.h. */
#include "recipes/run/events.h"

#include "base/core/clock.h"
#include "base/core/file.h"
#include "base/core/mem.h"
#include "recipes/language/reading.h"
#include "recipes/language/types.h"
#include "recipes/run/record.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static const char prefix[] = "events.out.tfevents.";

uint32_t lorac_crc32c(const void *bytes, size_t n)
{
    const unsigned char *at = bytes;
    uint32_t crc = UINT32_MAX;
    for (size_t i = 0; i < n; i++) {
        crc ^= at[i];
        for (int bit = 0; bit < 8; bit++) {
            crc = crc >> 1 ^ (crc & 1U ? 0x82F63B78U : 0U);
        }
    }
    return ~crc;
}

uint32_t lorac_crc32c_masked(const void *bytes, size_t n)
{
    uint32_t crc = lorac_crc32c(bytes, n);
    return (crc >> 15 | crc << 17) + 0xA282EAD8U;
}

/* ---- protobuf: a field is its number and kind, then its value ---- */

enum { VARINT = 0, FIXED64 = 1, BYTES = 2, FIXED32 = 5 };

static void add_little(struct lorac_buf *b, uint64_t v, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++) {
        unsigned char byte = (unsigned char)(v >> 8 * i);
        lorac_buf_add(b, &byte, 1);
    }
}

static void add_varint(struct lorac_buf *b, uint64_t v)
{
    for (; v >= 0x80; v >>= 7) {
        add_little(b, v | 0x80, 1);
    }
    add_little(b, v, 1);
}

static void add_key(struct lorac_buf *b, unsigned field, unsigned kind)
{
    add_varint(b, field << 3 | kind);
}

static void add_count(struct lorac_buf *b, unsigned field, uint64_t v)
{
    add_key(b, field, VARINT);
    add_varint(b, v);
}

static void add_double(struct lorac_buf *b, unsigned field, double v)
{
    uint64_t bits = 0;
    memcpy(&bits, &v, sizeof bits);
    add_key(b, field, FIXED64);
    add_little(b, bits, sizeof bits);
}

static void add_float(struct lorac_buf *b, unsigned field, float v)
{
    uint32_t bits = 0;
    memcpy(&bits, &v, sizeof bits);
    add_key(b, field, FIXED32);
    add_little(b, bits, sizeof bits);
}

static void add_bytes(struct lorac_buf *b, unsigned field, const char *at, size_t n)
{
    add_key(b, field, BYTES);
    add_varint(b, n);
    lorac_buf_add(b, at, n);
}

static void add_text(struct lorac_buf *b, unsigned field, const char *text)
{
    add_bytes(b, field, text, strlen(text));
}

/* A message in a message; `inner` is released. */
static void add_message(struct lorac_buf *b, unsigned field, struct lorac_buf *inner)
{
    add_bytes(b, field, inner->at ? inner->at : "", inner->n);
    b->no_memory = b->no_memory || inner->no_memory;
    lorac_buf_free(inner);
}

/* ---- events: numbers of fields as in tensorboard/compat/proto ---- */

/* Summary.Value: tag 1, simple_value 2. */
static void add_scalar(struct lorac_buf *summary, const char *split, const char *name, double v)
{
    struct lorac_buf value = {0};
    char tag[64];
    if (isnan(v)) { return; }
    (void)snprintf(tag, sizeof tag, "%s/%s", split, name);
    add_text(&value, 1, tag);
    add_float(&value, 2, (float)v);
    add_message(summary, 1, &value);
}

/* SummaryMetadata of a value, field 9: plugin_data 1 {plugin_name 1, content 2}, data_class 4
 * (2: a tensor). `content` is released. */
static void add_plugin(struct lorac_buf *value, const char *name, struct lorac_buf *content)
{
    struct lorac_buf plugin = {0};
    struct lorac_buf metadata = {0};
    add_text(&plugin, 1, name);
    add_message(&plugin, 2, content);
    add_message(&metadata, 1, &plugin);
    add_count(&metadata, 4, 2);
    add_message(value, 9, &metadata);
}

/* A text as a block of Markdown's code. TensorProto, field 8: dtype 1 (7: strings), tensor_shape 2
 * {dim 2 {size 1}}, string_val 8. */
static void add_markdown(struct lorac_buf *summary, const char *tag, const struct lorac_buf *text)
{
    struct lorac_buf value = {0};
    struct lorac_buf content = {0};
    struct lorac_buf dim = {0};
    struct lorac_buf shape = {0};
    struct lorac_buf tensor = {0};
    add_count(&dim, 1, 1);
    add_message(&shape, 2, &dim);
    add_count(&tensor, 1, 7);
    add_message(&tensor, 2, &shape);
    add_bytes(&tensor, 8, text->at ? text->at : "", text->n);
    tensor.no_memory = tensor.no_memory || text->no_memory;
    add_text(&value, 1, tag);
    add_message(&value, 8, &tensor);
    add_plugin(&value, "text", &content);
    add_message(summary, 1, &value);
}

/* Append lines to Markdown, each of them indented. */
static void add_code(struct lorac_buf *b, const char *text)
{
    for (const char *line = text; *line;) {
        size_t n = strcspn(line, "\n");
        lorac_buf_str(b, "    ");
        lorac_buf_add(b, line, n);
        lorac_buf_str(b, "\n");
        line += n + (line[n] == '\n');
    }
}

/* google.protobuf.Value: number_value 2, string_value 3, bool_value 4. */
static void add_value(struct lorac_buf *entry, const char *text)
{
    struct lorac_buf value = {0};
    double number = 0.0;
    if (lorac_number_parse(&number, text) == LORAC_NUMBER_OK) {
        add_double(&value, 2, number);
    } else if (strcmp(text, "true") == 0 || strcmp(text, "false") == 0) {
        add_count(&value, 4, text[0] == 't');
    } else {
        add_text(&value, 3, text);
    }
    add_message(entry, 2, &value);
}

/* What people try: what the trials of a sweep change; else how much is trained, and how. */
static bool is_tried(const char *key, const struct lorac_sweep_record *sweep)
{
    for (size_t i = 0; sweep && i < sweep->n_keys; i++) {
        if (strcmp(sweep->keys[i], key) == 0) { return true; }
    }
    if (sweep) { return false; }
    static const char *const sections[] = {"seed",         "adapter.",    "optimizer.",
                                           "train.epochs", "train.steps", "train.batch",
                                           "model.compute"};
    for (size_t i = 0; i < sizeof sections / sizeof *sections; i++) {
        if (strncmp(key, sections[i], strlen(sections[i])) == 0) { return true; }
    }
    return false;
}

/* HParamsPluginData: session_start_info 3 {hparams 1: a map of key 1, value 2}. */
static void add_tried(struct lorac_buf *summary, const struct lorac_recipe *r,
                      const struct lorac_sweep_record *sweep)
{
    struct lorac_buf value = {0};
    struct lorac_buf start = {0};
    struct lorac_buf content = {0};
    struct lorac_buf text = {0};
    for (size_t i = 0; i < lorac_n_keys; i++) {
        struct lorac_buf entry = {0};
        const struct lorac_key *key = &lorac_keys[i];
        if (!is_tried(key->path, sweep) || !key->type->print) { continue; }
        lorac_buf_clear(&text);
        lorac_value_print(&text, r, key);
        add_text(&entry, 1, key->path);
        add_value(&entry, text.at ? text.at : "");
        add_message(&start, 1, &entry);
    }
    start.no_memory = start.no_memory || text.no_memory;
    lorac_buf_free(&text);
    add_message(&content, 3, &start);
    add_text(&value, 1, "_hparams_/session_start_info");
    add_plugin(&value, "hparams", &content);
    add_message(summary, 1, &value);
}

/* Append a record with one event, wall_time 1, step 2; `what` is its field `field`, released. */
static void add_record(struct lorac_buf *b, size_t step, unsigned field, struct lorac_buf *what)
{
    struct lorac_buf event = {0};
    struct lorac_buf head = {0};
    add_double(&event, 1, lorac_clock_unix());
    add_count(&event, 2, step);
    add_message(&event, field, what);
    add_little(&head, event.n, 8);
    if (head.at) { add_little(&head, lorac_crc32c_masked(head.at, 8), 4); }
    lorac_buf_add(b, head.at ? head.at : "", head.n);
    lorac_buf_add(b, event.at ? event.at : "", event.n);
    add_little(b, lorac_crc32c_masked(event.at, event.n), 4);
    b->no_memory = b->no_memory || event.no_memory || head.no_memory;
    lorac_buf_free(&event);
    lorac_buf_free(&head);
}

enum { FILE_VERSION = 3, SUMMARY = 5, SESSION_LOG = 7 };

/* Append it to the file; `records` is released. */
static enum lorac_status append(const struct lorac_events *e, struct lorac_buf *records,
                                struct lorac_err *err)
{
    enum lorac_status st = records->no_memory
                               ? lorac_fail(err, LORAC_ENOMEM, "%s: no memory", e->path)
                               : lorac_file_append(e->path, records->at, records->n, err);
    lorac_buf_free(records);
    return st;
}

static enum lorac_status append_summary(const struct lorac_events *e, size_t step,
                                        struct lorac_buf *summary, struct lorac_err *err)
{
    struct lorac_buf records = {0};
    add_record(&records, step, SUMMARY, summary);
    return append(e, &records, err);
}

/* ---- a run ---- */

/* How many sessions left files. */
static enum lorac_status count_sessions(size_t *n, const char *dir, struct lorac_err *err)
{
    char **names = NULL;
    *n = 0;
    enum lorac_status st = lorac_dir_list(&names, dir, err);
    for (size_t i = 0; !st && names[i]; i++) {
        *n += strncmp(names[i], prefix, sizeof prefix - 1) == 0;
    }
    lorac_mem_free(names);
    return st;
}

/* The sweep that the folder is a trial of; NULL: of none. */
static enum lorac_status find_sweep(struct lorac_sweep_record **out, const char *dir,
                                    struct lorac_err *err)
{
    const char *slash = strrchr(dir, '/');
    const char *name = slash ? slash + 1 : dir;
    bool is_trial = false;
    *out = NULL;
    char *parent = lorac_path_dir(dir);
    enum lorac_status st = parent ? lorac_sweep_record_open(out, parent, err)
                                  : lorac_fail(err, LORAC_ENOMEM, "%s: no memory", dir);
    for (size_t i = 0; *out && i < (*out)->n_trials; i++) {
        is_trial = is_trial || strcmp((*out)->trials[i], name) == 0;
    }
    if (!is_trial) {
        lorac_sweep_record_close(*out);
        *out = NULL;
    }
    lorac_mem_free(parent);
    return st;
}

enum lorac_status lorac_events_begin(struct lorac_events *e, const char *dir, size_t step,
                                     const struct lorac_recipe *r, struct lorac_err *err)
{
    char name[64];
    size_t sessions = 0;
    struct lorac_buf records = {0};
    struct lorac_buf version = {0};
    struct lorac_buf session = {0};
    struct lorac_buf recipe = {0};
    struct lorac_buf text = {0};
    struct lorac_buf summary = {0};
    struct lorac_sweep_record *sweep = NULL;
    enum lorac_status st = find_sweep(&sweep, dir, err);
    if (!st && step == 0) { st = lorac_events_remove(dir, err); }
    if (!st) { st = count_sessions(&sessions, dir, err); }
    (void)snprintf(name, sizeof name, "%s%05zu.lorac", prefix, sessions + 1);
    e->path = st ? NULL : lorac_path_join(dir, name);
    if (!st && !e->path) { st = lorac_fail(err, LORAC_ENOMEM, "%s: no memory", dir); }
    if (st) {
        lorac_sweep_record_close(sweep);
        return st;
    }
    lorac_buf_str(&version, "brain.Event:2");
    add_record(&records, 0, FILE_VERSION, &version);
    add_count(&session, 1, 1); // SessionLog: status 1 (1: START)
    if (sessions) {
        add_record(&records, step + 1, SESSION_LOG, &session);
    } else {
        lorac_buf_free(&session);
    }
    lorac_recipe_resolved(&recipe, r);
    add_code(&text, recipe.at ? recipe.at : "");
    text.no_memory = text.no_memory || recipe.no_memory;
    add_markdown(&summary, "recipe", &text);
    add_tried(&summary, r, sweep);
    lorac_sweep_record_close(sweep);
    add_record(&records, sessions ? step + 1 : 0, SUMMARY, &summary);
    lorac_buf_free(&recipe);
    lorac_buf_free(&text);
    return append(e, &records, err);
}

enum lorac_status lorac_events_step(const struct lorac_events *e, const struct lorac_step *s,
                                    struct lorac_err *err)
{
    struct lorac_buf b = {0};
    if (!e->path) { return LORAC_OK; }
    add_scalar(&b, "train", "epoch", s->epoch);
    add_scalar(&b, "train", "loss", s->loss);
    add_scalar(&b, "train", "perplexity", s->perplexity);
    add_scalar(&b, "train", "lr", s->lr);
    add_scalar(&b, "train", "grad_norm", s->grad_norm);
    add_scalar(&b, "train", "tokens", (double)s->tokens);
    add_scalar(&b, "train", "trained", (double)s->trained);
    add_scalar(&b, "train", "seconds", s->seconds);
    return append_summary(e, s->step, &b, err);
}

enum lorac_status lorac_events_eval(const struct lorac_events *e, double epoch,
                                    const struct lorac_run_eval *x, struct lorac_err *err)
{
    struct lorac_buf b = {0};
    const struct lorac_scores *s = x->scores;
    if (!e->path) { return LORAC_OK; }
    add_scalar(&b, "valid", "epoch", epoch);
    for (int m = 0; m < LORAC_METRICS; m++) {
        add_scalar(&b, "valid", lorac_metric_name((size_t)m),
                   lorac_scores_get(s, (enum lorac_metric)m));
    }
    add_scalar(&b, "valid", "bits_per_byte", lorac_scores_bits_per_byte(s));
    add_scalar(&b, "valid", "tokens", (double)s->rows);
    add_scalar(&b, "valid", "trained", (double)s->tokens);
    add_scalar(&b, "valid", "seconds", s->seconds);
    return append_summary(e, x->step, &b, err);
}

enum lorac_status lorac_events_sample(const struct lorac_events *e, size_t step, size_t i,
                                      const struct lorac_run_sample *s, struct lorac_err *err)
{
    struct lorac_buf summary = {0};
    struct lorac_buf text = {0};
    char tag[40];
    if (!e->path) { return LORAC_OK; }
    (void)snprintf(tag, sizeof tag, "sample %zu", i + 1);
    add_code(&text, s->prompt);
    lorac_buf_str(&text, "\nwanted\n\n");
    add_code(&text, s->want);
    lorac_buf_str(&text, "\ngiven\n\n");
    add_code(&text, s->got);
    add_markdown(&summary, tag, &text);
    lorac_buf_free(&text);
    return append_summary(e, step, &summary, err);
}

void lorac_events_end(struct lorac_events *e)
{
    lorac_mem_free(e->path);
    e->path = NULL;
}

enum lorac_status lorac_events_remove(const char *dir, struct lorac_err *err)
{
    char **names = NULL;
    enum lorac_status st = lorac_dir_list(&names, dir, err);
    for (size_t i = 0; !st && names[i]; i++) {
        if (strncmp(names[i], prefix, sizeof prefix - 1) != 0) { continue; }
        char path[LORAC_PATH];
        st = lorac_file_remove(lorac_path_in(path, dir, names[i]), err);
    }
    lorac_mem_free(names);
    return st;
}
