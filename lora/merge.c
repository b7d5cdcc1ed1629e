/*
 * merge.c - a checkpoint with the adapters' products added:
 *
 *   W' = W + sum_k f_k s_k B_k A_k      float32, rounded once to the type of the file
 *
 * where W is the base's, or the full copy that stands in for it; norms and biases are their copies.
 *
 * Where types and shapes stay, each shard of the result is the old file with other numbers in the
 * same places: its header is copied byte for byte, and with it names, order and metadata. The
 * product is made in panels of rows, so that memory is bounded whatever the size of a matrix. A
 * tied pair that has parted needs one tensor more, and another type other headers (merge_texts.h).
 */
#include "base/core/file.h"
#include "base/core/mem.h"
#include "base/core/sibling.h"
#include "lora/card.h"
#include "lora/match.h"
#include "lora/merge_impl.h"
#include "lora/merge_texts.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static size_t part_bytes(const struct lorac_merge_part *p)
{
    return lorac_dtype_bytes(p->dtype, p->t->n);
}

/* ---- files ---- */

static const char *file_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

/* The file that a tensor goes to. */
static const char *part_file(const struct lorac_merger *g, const struct lorac_merge_part *p)
{
    return file_name(lorac_checkpoint_shard_file(g->m->files, p->t->shard));
}

/* The bytes before the first tensor's: a length and that many bytes (safetensors.h). */
static enum lorac_status write_header(struct lorac_out *out, const char *from,
                                      struct lorac_err *err)
{
    struct lorac_map map;
    enum lorac_status st = lorac_map_open(&map, from, err);
    if (st) { return st; }
    uint64_t n = 0;
    for (size_t i = 0; i < 8 && map.size >= 8; i++) {
        n |= (uint64_t)map.data[i] << (8 * i);
    }
    if (map.size < 8 || n > map.size - 8) {
        st = lorac_fail(err, LORAC_EFORMAT, "%s: has changed since it was opened", from);
    } else {
        st = lorac_out_write_head(out, map.data, (size_t)n + 8, err);
    }
    lorac_map_close(&map);
    return st;
}

static enum lorac_status write_part(struct lorac_merger *g, const struct lorac_merge_part *p,
                                    struct lorac_out *out, struct lorac_err *err)
{
    if (lorac_merge_is_new(g, p)) { return lorac_merge_panels(g, p, out, NULL, err); }
    return lorac_out_write(out, p->t->data, part_bytes(p), err);
}

/* What is left of a shard of the base: an old head may have been all of it. */
static bool is_empty(const struct lorac_merger *g, size_t shard)
{
    bool empty = true;
    for (size_t i = 0; i < g->n && empty; i++) {
        empty = g->parts[i].t->shard != shard;
    }
    return empty;
}

/* A header of our own, where tensors are added or have another type. */
static enum lorac_status write_new_header(const struct lorac_merger *g, struct lorac_out *out,
                                          const char *from, size_t shard, struct lorac_err *err)
{
    struct lorac_buf text = {0};
    size_t n = 0;
    struct lorac_tensor_spec *specs = lorac_mem_new(g->n, sizeof *specs);
    if (!specs) { return lorac_fail(err, LORAC_ENOMEM, "%s: no memory for its header", from); }
    for (size_t i = 0; i < g->n; i++) {
        const struct lorac_merge_part *p = &g->parts[i];
        if (p->t->shard != shard) { continue; }
        specs[n] =
            (struct lorac_tensor_spec){.name = p->name, .dtype = p->dtype, .n_dims = p->t->n_dims};
        memcpy(specs[n++].dims, p->t->dims, sizeof p->t->dims);
    }
    enum lorac_status st = lorac_merged_header(&text, from, specs, n, err);
    if (!st) { st = lorac_out_write_head(out, text.at, text.n, err); }
    lorac_buf_free(&text);
    lorac_mem_free(specs);
    return st;
}

/* Before a tensor is written, or read back. */
static enum lorac_status go_on(struct lorac_merger *g, struct lorac_err *err)
{
    const struct lorac_merge_options *o = g->o;
    double done = (double)g->done++ / (double)(2 * g->n);
    if (!o || !o->progress || o->progress(o->self, done)) { return LORAC_OK; }
    return lorac_fail(err, LORAC_ESTOP, "stopped: nothing is left of the merged model");
}

static enum lorac_status write_shard(struct lorac_merger *g, const char *dir, size_t shard,
                                     struct lorac_err *err)
{
    const char *from = lorac_checkpoint_shard_file(g->m->files, shard);
    struct lorac_out *out = NULL;
    char path[LORAC_PATH];
    enum lorac_status st = lorac_out_open(&out, lorac_path_in(path, dir, file_name(from)), err);
    bool has_format = true;
    if (!st) { st = lorac_header_has_format(&has_format, from, err); }
    bool new_header =
        g->dtype || g->new_head || (g->twin && g->twin->shard == shard) || !has_format;
    if (!st) {
        st = new_header ? write_new_header(g, out, from, shard, err) : write_header(out, from, err);
    }
    for (size_t i = 0; i < g->n && !st; i++) {
        const struct lorac_merge_part *p = &g->parts[i];
        if (p->t->shard != shard) { continue; }
        st = go_on(g, err);
        if (!st) { st = write_part(g, p, out, err); }
    }
    if (!st) {
        st = lorac_out_commit(out, err);
    } else {
        lorac_out_free(out);
    }
    return st;
}

static const char index_name[] = "model.safetensors.index.json";

/* Weights, what points at them, adapters and hidden files stay behind. */
static bool is_copied(const struct lorac_merger *g, const char *name)
{
    static const char *const weights[] = {
        ".safetensors", ".bin",     ".gguf", ".ggml", ".pt",  ".pth",       ".ckpt",
        ".h5",          ".msgpack", ".onnx", ".ot",   ".npz", ".index.json"};
    const char *shard = file_name(lorac_checkpoint_shard_file(g->m->files, 0));
    if (strcmp(name, index_name) == 0) {
        return strcmp(shard, "model.safetensors") != 0; // the single file wins over an index
    }
    bool copied = name[0] != '.' && strncmp(name, "adapter_", strlen("adapter_")) != 0;
    for (size_t i = 0; i < sizeof weights / sizeof weights[0]; i++) {
        copied = copied && !lorac_ends_with(name, weights[i]);
    }
    return copied;
}

static enum lorac_status write_index(const struct lorac_merger *g, const char *to, const char *from,
                                     struct lorac_err *err)
{
    struct lorac_merged_entry *at = lorac_mem_new(g->n, sizeof *at);
    size_t bytes = 0;
    if (!at) { return lorac_fail(err, LORAC_ENOMEM, "%s: no memory", to); }
    for (size_t i = 0; i < g->n; i++) {
        const struct lorac_merge_part *p = &g->parts[i];
        bytes += part_bytes(p); // of memory that is mapped, twice at the most: no overflow
        at[i] = (struct lorac_merged_entry){p->name, part_file(g, p)};
    }
    enum lorac_status st = lorac_merged_index(to, from, bytes, at, g->n, err);
    lorac_mem_free(at);
    return st;
}

/* Copy a file, then read both. What names the tensors and their type follows them. */
static enum lorac_status copy_file(const struct lorac_merger *g, const char *dir, const char *name,
                                   struct lorac_err *err)
{
    const struct lorac_merged_change change = {
        .untied = g->untied, .dtype = g->dtype, .head = g->new_head || g->saved, .saved = g->saved};
    bool changes = g->untied || g->dtype || change.head;
    char to[LORAC_PATH];
    char from[LORAC_PATH];
    struct lorac_map a = {0};
    struct lorac_map b = {0};
    lorac_path_in(to, dir, name);
    lorac_path_in(from, g->m->dir, name);
    if (lorac_path_is_dir(from)) { return LORAC_OK; }
    if (changes && strcmp(name, "config.json") == 0) {
        return lorac_merged_config(to, from, g->m, &change, err);
    }
    if ((g->twin || g->dtype || g->new_head) && strcmp(name, index_name) == 0) {
        return write_index(g, to, from, err);
    }
    enum lorac_status st = lorac_file_copy(to, from, err);
    if (!st) { st = lorac_map_open(&a, to, err); }
    if (!st) { st = lorac_map_open(&b, from, err); }
    if (!st && (a.size != b.size || (a.size && memcmp(a.data, b.data, a.size) != 0))) {
        st = lorac_fail(err, LORAC_EIO, "%s: differs from the file it was copied from", to);
    }
    lorac_map_close(&a);
    lorac_map_close(&b);
    return st;
}

/* "1_Pooling": a folder that sentence-transformers has beside a model. */
static bool is_module(const struct lorac_merger *g, const char *name)
{
    char path[LORAC_PATH];
    size_t digits = strspn(name, "0123456789");
    return digits > 0 && name[digits] == '_' &&
           lorac_path_is_dir(lorac_path_in(path, g->m->dir, name));
}

static enum lorac_status copy_module(const struct lorac_merger *g, const char *dir,
                                     const char *name, struct lorac_err *err)
{
    char path[LORAC_PATH];
    char file[LORAC_PATH];
    char **names = NULL;
    enum lorac_status st = lorac_dir_make(lorac_path_in(path, dir, name), err);
    if (!st) { st = lorac_dir_list(&names, lorac_path_in(path, g->m->dir, name), err); }
    for (size_t i = 0; !st && names[i]; i++) {
        st = copy_file(g, dir, lorac_path_in(file, name, names[i]), err);
    }
    lorac_mem_free(names);
    return st;
}

static enum lorac_status copy_files(const struct lorac_merger *g, const char *dir,
                                    struct lorac_err *err)
{
    char **names = NULL;
    enum lorac_status st = lorac_dir_list(&names, g->m->dir, err);
    for (size_t i = 0; !st && names[i]; i++) {
        if (is_module(g, names[i])) {
            st = copy_module(g, dir, names[i], err);
        } else if (is_copied(g, names[i])) {
            st = copy_file(g, dir, names[i], err);
        }
    }
    lorac_mem_free(names);
    return st;
}

/* ---- the whole ---- */

static enum lorac_status compare_part(struct lorac_merger *g, const struct lorac_merge_part *p,
                                      const struct lorac_checkpoint *files, struct lorac_err *err)
{
    const struct lorac_tensor *t = p->t;
    const struct lorac_tensor *got = lorac_checkpoint_find(files, p->name);
    bool placed = got && strcmp(part_file(g, p),
                                file_name(lorac_checkpoint_shard_file(files, got->shard))) == 0;
    if (!placed || p->dtype != got->dtype || t->n_dims != got->n_dims ||
        memcmp(t->dims, got->dims, t->n_dims * sizeof t->dims[0]) != 0) {
        return lorac_fail(err, LORAC_EIO, "'%s' reads back with another name, type or shape",
                          p->name);
    }
    if (lorac_merge_is_new(g, p)) { return lorac_merge_panels(g, p, NULL, got, err); }
    size_t bytes = part_bytes(p);
    if (bytes && memcmp(t->data, got->data, bytes) != 0) {
        return lorac_fail(err, LORAC_EIO, "'%s' was copied but reads back with other values",
                          p->name);
    }
    return LORAC_OK;
}

static enum lorac_status compare(struct lorac_merger *g, const char *dir, struct lorac_err *err)
{
    struct lorac_checkpoint *got = NULL;
    enum lorac_status st = lorac_checkpoint_open(&got, dir, err);
    if (!st && lorac_checkpoint_count(got) != g->n) {
        st = lorac_fail(err, LORAC_EIO, "reads back with another number of tensors");
    }
    for (size_t i = 0; !st && i < g->n; i++) {
        st = go_on(g, err);
        if (!st) { st = compare_part(g, &g->parts[i], got, err); }
    }
    lorac_checkpoint_close(got);
    if (st && st != LORAC_ESTOP) { lorac_err_prefix(err, "%s: ", dir); }
    return st;
}

static enum lorac_status check_request(const struct lorac_merger *g, const char *out,
                                       struct lorac_err *err)
{
    if (g->s->n < 1 || g->s->n > LORAC_MAX_STACK) {
        return lorac_fail(err, LORAC_EUSER, "from 1 to %d adapters can be merged, found %zu",
                          LORAC_MAX_STACK, g->s->n);
    }
    for (size_t k = 0; k < g->s->n; k++) {
        if (!isfinite(g->s->factor[k])) {
            return lorac_fail(err, LORAC_EUSER, "the factor of adapter %zu is %g", k,
                              (double)g->s->factor[k]);
        }
        if (g->s->adapter[k]->model != g->m) {
            return lorac_fail(err, LORAC_EUSER, "adapter %zu was loaded for another model", k);
        }
    }
    enum lorac_status st = lorac_stack_check(g->s, err);
    if (st) { return st; }
    if (!lorac_dir_is_empty(out)) {
        return lorac_fail(err, LORAC_EUSER, "%s: exists and is not an empty folder", out);
    }
    return LORAC_OK;
}

/* What the adapter that holds the head says of its labels. */
static enum lorac_status find_labels(struct lorac_merger *g, struct lorac_err *err)
{
    const struct lorac_model *m = g->m;
    if (!lorac_task_is_labelled(m->config.task) || m->head == m->n_modules) { return LORAC_OK; }
    for (size_t k = 0; k < g->s->n; k++) {
        const struct lorac_adapter *a = g->s->adapter[k];
        if (a->weight_at[m->head] >= 0) {
            return lorac_saved_read(&g->saved, a->template_json, err);
        }
    }
    return LORAC_OK;
}

/* The caller's check of what stands in `temp`, and shall become `to`. */
static enum lorac_status check_result(const struct lorac_merge_options *o, const char *to,
                                      const char *temp, struct lorac_err *err)
{
    enum lorac_status st = o && o->check ? o->check(o->self, temp, err) : LORAC_OK;
    if (st) { lorac_err_prefix(err, "%s: is not made: ", to); }
    return st;
}

enum lorac_status lorac_merge(const char *out, const struct lorac_model *m,
                              const struct lorac_stack *adapters,
                              const struct lorac_merge_options *options, struct lorac_err *err)
{
    struct lorac_merger g = {.m = m,
                             .s = adapters,
                             .dev = m->dev,
                             .o = options,
                             .dtype = options ? options->dtype : NULL};
    char *to = NULL;
    char *temp = NULL;
    enum lorac_status st = lorac_sibling(&to, &temp, out, err);
    if (!st) { st = check_request(&g, to, err); }
    if (st) { goto done; }
    st = lorac_merge_list(&g, err);
    if (!st) { st = find_labels(&g, err); }
    if (!st) { st = lorac_device_start(g.dev, err); }
    if (!st) { st = lorac_merge_reserve(&g, err); }
    if (st) { goto done; }
    st = lorac_dir_remove(temp, err); // of a process that died with this number
    if (!st) { st = lorac_dir_make(temp, err); }
    for (size_t i = 0; i < lorac_checkpoint_shards(m->files) && !st; i++) {
        if (!is_empty(&g, i)) { st = write_shard(&g, temp, i, err); }
    }
    if (!st) { st = copy_files(&g, temp, err); }
    if (!st) { st = lorac_card_merged(temp, g.s, err); }
    if (!st) { st = compare(&g, temp, err); }
    if (!st) { st = check_result(options, to, temp, err); }
    if (!st) { st = lorac_dir_replace(to, temp, err); }
    if (st) { lorac_discard(temp); }
done:
    lorac_merge_release(&g);
    lorac_mem_free(to);
    lorac_mem_free(temp);
    return st;
}
