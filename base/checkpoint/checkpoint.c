/* checkpoint.c - see safetensors.h: one file, or several behind an index, as one set of tensors. */
#include "base/checkpoint/safetensors_image.h"
#include "base/core/file.h"
#include "base/core/mem.h"
#include "base/stand_in.h"

#include <stdlib.h>
#include <string.h>

enum { MAX_INDEX = 100000000, MAX_SHARDS = 10000, MAX_LISTED = 4 };

static const char single_name[] = "model.safetensors";
static const char index_name[] = "model.safetensors.index.json";

struct shard {
    char *path;           // owned
    struct lorac_map map; // owned; empty where the image is borrowed
};

struct lorac_checkpoint {
    struct shard *shards;
    size_t n_shards;
    struct lorac_tensor *tensors; // shard by shard
    size_t n, cap;
    const struct lorac_tensor **by_name; // the same, sorted
    json_t *metadata;                    // of shard 0, or NULL
    bool beside_index;                   // one file, with an index beside it
};

/* Names */

static int compare_names(const void *a, const void *b)
{
    const struct lorac_tensor *const *x = a;
    const struct lorac_tensor *const *y = b;
    return strcmp((*x)->name, (*y)->name);
}

static enum lorac_status sort_names(struct lorac_checkpoint *c, const char *path,
                                    struct lorac_err *err)
{
    c->by_name = lorac_mem_new(c->n, sizeof(struct lorac_tensor *));
    if (!c->by_name) {
        return lorac_fail(err, LORAC_ENOMEM, "%s: no memory for %zu names", path, c->n);
    }
    for (size_t i = 0; i < c->n; i++) {
        c->by_name[i] = &c->tensors[i];
    }
    if (c->n) { qsort(c->by_name, c->n, sizeof(struct lorac_tensor *), compare_names); }
    return LORAC_OK;
}

const struct lorac_tensor *lorac_checkpoint_find(const struct lorac_checkpoint *c, const char *name)
{
    size_t low = 0;
    size_t high = c->n;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = strcmp(name, c->by_name[middle]->name);
        if (order == 0) { return c->by_name[middle]; }
        if (order < 0) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    return NULL;
}

enum lorac_status lorac_checkpoint_rename(struct lorac_checkpoint *c, lorac_rename_fn *put,
                                          void *self, struct lorac_err *err)
{
    for (size_t i = 0; i < c->n; i++) {
        char to[LORAC_NAME_SIZE];
        put(self, to, c->tensors[i].name);
        memcpy(c->tensors[i].name, to, sizeof to);
    }
    if (c->n) { qsort(c->by_name, c->n, sizeof(struct lorac_tensor *), compare_names); }
    for (size_t i = 1; i < c->n; i++) {
        if (compare_names(&c->by_name[i - 1], &c->by_name[i]) != 0) { continue; }
        return lorac_fail(err, LORAC_EFORMAT, "%s: holds two tensors that mean '%s'",
                          c->shards[c->by_name[i]->shard].path, c->by_name[i]->name);
    }
    return LORAC_OK;
}

/* One file */

/* Append the tensors of an image as shard `shard`. */
static enum lorac_status add_image(struct lorac_checkpoint *c, size_t shard,
                                   const unsigned char *bytes, size_t n, struct lorac_err *err)
{
    const char *path = c->shards[shard].path;
    struct lorac_image image;
    struct lorac_tensor *larger = NULL;
    enum lorac_status st = lorac_image_parse(&image, bytes, n, path, err);
    if (st) { return st; }
    if (image.n > LORAC_MAX_TENSORS - c->n) {
        st = lorac_fail(err, LORAC_EFORMAT, "%s: tensor %d is one more than is accepted", path,
                        LORAC_MAX_TENSORS + 1);
        goto done;
    }
    larger = lorac_mem_grow(c->tensors, c->n, &c->cap, c->n + image.n, sizeof *c->tensors);
    if (!larger) {
        st = lorac_fail(err, LORAC_ENOMEM, "%s: no memory for %zu tensors", path, image.n);
        goto done;
    }
    c->tensors = larger;
    for (size_t i = 0; i < image.n; i++) {
        c->tensors[c->n] = image.tensors[i];
        c->tensors[c->n++].shard = shard;
    }
    if (shard == 0) { c->metadata = json_incref(image.metadata); }
done:
    lorac_image_free(&image);
    return st;
}

static enum lorac_status new_checkpoint(struct lorac_checkpoint **out, size_t n_shards,
                                        const char *path, struct lorac_err *err)
{
    struct lorac_checkpoint *c = lorac_mem_new(1, sizeof *c);
    struct shard *shards = lorac_mem_new(n_shards, sizeof *shards);
    if (!c || !shards) {
        lorac_mem_free(c);
        lorac_mem_free(shards);
        *out = NULL;
        (void)lorac_fail(err, LORAC_ENOMEM, "%s: no memory to open it", path);
        return LORAC_ENOMEM; // by name: analysers do not know what lorac_fail returns
    }
    c->shards = shards;
    c->n_shards = n_shards;
    *out = c;
    return LORAC_OK;
}

/* Map shard `i`, whose path is `path` (taken; NULL: out of memory), and read its tensors. */
static enum lorac_status open_shard(struct lorac_checkpoint *c, size_t i, char *path,
                                    const char *from, struct lorac_err *err)
{
    struct shard *s = &c->shards[i];
    s->path = path;
    if (!path) { return lorac_fail(err, LORAC_ENOMEM, "%s: no memory to open it", from); }
    enum lorac_status st = lorac_map_open(&s->map, path, err);
    if (!st) { st = lorac_lfs_check(s->map.data, s->map.size, path, err); }
    return st ? st : add_image(c, i, s->map.data, s->map.size, err);
}

enum lorac_status lorac_checkpoint_parse(struct lorac_checkpoint **out, const unsigned char *bytes,
                                         size_t n, const char *file, struct lorac_err *err)
{
    struct lorac_checkpoint *c = NULL;
    enum lorac_status st = new_checkpoint(&c, 1, file, err);
    if (st) { goto done; }
    c->shards[0].path = lorac_mem_string(file, strlen(file));
    if (!c->shards[0].path) {
        st = lorac_fail(err, LORAC_ENOMEM, "%s: no memory to open it", file);
        goto done;
    }
    st = add_image(c, 0, bytes, n, err);
    if (!st) { st = sort_names(c, file, err); }
done:
    if (st) {
        lorac_checkpoint_close(c);
        c = NULL;
    }
    *out = c;
    return st;
}

static enum lorac_status open_file(struct lorac_checkpoint **out, const char *path,
                                   struct lorac_err *err)
{
    enum lorac_status st = new_checkpoint(out, 1, path, err);
    if (!st) { st = open_shard(*out, 0, lorac_mem_string(path, strlen(path)), path, err); }
    if (!st) { st = sort_names(*out, path, err); }
    return st;
}

/* Several files behind an index */

/* A file beside the index, and nothing else: no folder, no way up. */
static bool is_plain_name(const char *name)
{
    static const char suffix[] = ".safetensors";
    size_t n = strlen(name);
    size_t end = sizeof suffix - 1;
    return n > end && strcmp(name + n - end, suffix) == 0 && !strchr(name, '/') &&
           lorac_name_check(name, "", NULL) == LORAC_OK;
}

enum lorac_status lorac_index_check(const struct lorac_json *root, struct lorac_err *err)
{
    if (!json_is_object(root->value)) {
        return lorac_fail(err, LORAC_EFORMAT, "%s: must be a JSON object with \"weight_map\"",
                          root->file);
    }
    struct lorac_json map = lorac_json_get(root, "weight_map");
    if (!json_is_object(map.value)) {
        return lorac_json_fail(&map, "an object from tensor to file name", err);
    }
    if (json_object_size(map.value) > LORAC_MAX_TENSORS) {
        return lorac_fail(err, LORAC_EFORMAT, "%s: names %zu tensors, at most %d are accepted",
                          root->file, json_object_size(map.value), LORAC_MAX_TENSORS);
    }
    const char *name = NULL;
    json_t *value = NULL;
    json_object_foreach(map.value, name, value)
    {
        enum lorac_status st = lorac_name_check(name, root->file, err);
        if (st) { return st; }
        const char *file = NULL;
        st = lorac_json_string(&file, &map, name, true, err);
        if (st) { return st; }
        if (!is_plain_name(file)) {
            struct lorac_json at = lorac_json_get(&map, name);
            return lorac_json_fail(&at, "the plain name of a .safetensors file", err);
        }
    }
    return LORAC_OK;
}

static int compare_strings(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* The distinct file names of a checked weight_map, sorted; an owned array of borrowed strings. */
static enum lorac_status list_files(const char ***out, size_t *n, const struct lorac_json *map,
                                    struct lorac_err *err)
{
    size_t count = json_object_size(map->value);
    const char **files = lorac_mem_new(count, sizeof *files);
    *out = files;
    *n = 0;
    if (!files) { return lorac_fail(err, LORAC_ENOMEM, "%s: no memory to read it", map->file); }
    const char *name = NULL;
    json_t *value = NULL;
    size_t i = 0;
    json_object_foreach(map->value, name, value)
    {
        files[i++] = json_string_value(value);
    }
    if (count) { qsort(files, count, sizeof *files, compare_strings); }
    for (i = 0; i < count; i++) {
        if (*n == 0 || strcmp(files[i], files[*n - 1]) != 0) { files[(*n)++] = files[i]; }
    }
    if (*n == 0 || *n > MAX_SHARDS) {
        return lorac_fail(err, LORAC_EFORMAT, "%s: names %zu files, 1 to %d are accepted",
                          map->file, *n, MAX_SHARDS);
    }
    return LORAC_OK;
}

/* The tensors from `first` on, those of one file, must be the index's for that file. */
static enum lorac_status check_shard(const struct lorac_checkpoint *c, size_t first,
                                     const struct lorac_json *map, const char *file,
                                     struct lorac_err *err)
{
    for (size_t i = first; i < c->n; i++) {
        const struct lorac_tensor *t = &c->tensors[i];
        const char *want = json_string_value(json_object_get(map->value, t->name));
        const char *path = c->shards[t->shard].path;
        if (!want) {
            return lorac_fail(err, LORAC_EFORMAT, "%s: holds tensor '%s', which %s does not name",
                              path, t->name, map->file);
        }
        if (strcmp(want, file) != 0) {
            return lorac_fail(err, LORAC_EFORMAT,
                              "%s: holds tensor '%s', which by %s should lie in %s", path, t->name,
                              map->file, want);
        }
    }
    return LORAC_OK;
}

/* Every tensor of the index was found. */
static enum lorac_status check_complete(const struct lorac_checkpoint *c,
                                        const struct lorac_json *map, struct lorac_err *err)
{
    const char *name = NULL;
    json_t *value = NULL;
    json_object_foreach(map->value, name, value)
    {
        if (!lorac_checkpoint_find(c, name)) {
            return lorac_fail(err, LORAC_EFORMAT,
                              "%s: tensor '%s' should lie in %s, which lacks it", map->file, name,
                              json_string_value(value));
        }
    }
    return LORAC_OK;
}

/* All files that the index names are there: those that aren't, in one message. */
static enum lorac_status check_files(const char *const *files, size_t n, const char *dir,
                                     const char *index, struct lorac_err *err)
{
    struct lorac_buf text = {0};
    size_t missing = 0;
    for (size_t i = 0; i < n; i++) {
        if (!lorac_path_holds(dir, files[i]) && missing++ < MAX_LISTED) {
            lorac_buf_printf(&text, "%s%s", missing > 1 ? ", " : "", files[i]);
        }
    }
    enum lorac_status st = LORAC_OK;
    if (text.no_memory) {
        st = lorac_fail(err, LORAC_ENOMEM, "%s: no memory to open it", index);
    } else if (missing) {
        st = lorac_fail(err, LORAC_EIO, "%s: names %zu files, of which %zu %s missing: %s%s", index,
                        n, missing, missing == 1 ? "is" : "are", text.at,
                        missing > MAX_LISTED ? ", ..." : "");
    }
    lorac_buf_free(&text);
    return st;
}

/* *out may be a part of a checkpoint on failure; the caller closes it. */
static enum lorac_status open_index(struct lorac_checkpoint **out, const char *path,
                                    struct lorac_err *err)
{
    struct lorac_json root;
    struct lorac_json map;
    const char **files = NULL;
    char *dir = NULL;
    size_t n = 0;
    enum lorac_status st = lorac_json_load(&root, path, MAX_INDEX, err);
    if (!st) { st = lorac_index_check(&root, err); }
    if (st) { goto done; }
    map = lorac_json_get(&root, "weight_map");
    st = list_files(&files, &n, &map, err);
    if (st) { goto done; }
    dir = lorac_path_dir(path);
    if (!dir) {
        st = lorac_fail(err, LORAC_ENOMEM, "%s: no memory to open it", path);
        goto done;
    }
    st = check_files(files, n, dir, path, err);
    if (!st) { st = new_checkpoint(out, n, path, err); }
    if (st) { goto done; }
    for (size_t i = 0; i < n && !st; i++) {
        size_t first = (*out)->n;
        st = open_shard(*out, i, lorac_path_join(dir, files[i]), path, err);
        if (!st) { st = check_shard(*out, first, &map, files[i], err); }
    }
    if (!st) { st = sort_names(*out, path, err); }
    if (!st) { st = check_complete(*out, &map, err); }
done:
    lorac_mem_free(files);
    lorac_mem_free(dir);
    lorac_json_free(&root);
    return st;
}

static enum lorac_status open_folder(struct lorac_checkpoint **out, const char *path,
                                     struct lorac_err *err)
{
    char file[LORAC_PATH];
    bool has_index = lorac_path_holds(path, index_name);
    if (lorac_path_holds(path, single_name)) {
        enum lorac_status st = open_file(out, lorac_path_in(file, path, single_name), err);
        if (!st) { (*out)->beside_index = has_index; }
        return st;
    }
    if (has_index) { return open_index(out, lorac_path_in(file, path, index_name), err); }
    return lorac_stand_in_folder(path, single_name, index_name, err);
}

enum lorac_status lorac_checkpoint_open(struct lorac_checkpoint **out, const char *path,
                                        struct lorac_err *err)
{
    struct lorac_checkpoint *c = NULL;
    size_t n = strlen(path);
    bool is_index = n >= 5 && strcmp(path + n - 5, ".json") == 0;
    enum lorac_status st = lorac_path_is_dir(path) ? open_folder(&c, path, err)
                           : is_index              ? open_index(&c, path, err)
                                                   : open_file(&c, path, err);
    if (st) {
        lorac_checkpoint_close(c);
        c = NULL;
    }
    *out = c;
    return st;
}

void lorac_checkpoint_forget(const struct lorac_checkpoint *c)
{
    for (size_t i = 0; i < c->n_shards; i++) {
        lorac_map_forget(&c->shards[i].map);
    }
}

void lorac_checkpoint_close(struct lorac_checkpoint *c)
{
    if (!c) { return; }
    for (size_t i = 0; i < c->n_shards; i++) {
        lorac_map_close(&c->shards[i].map);
        lorac_mem_free(c->shards[i].path);
    }
    lorac_mem_free(c->shards);
    lorac_mem_free(c->tensors);
    lorac_mem_free(c->by_name);
    json_decref(c->metadata);
    lorac_mem_free(c);
}

/* Reading */

size_t lorac_checkpoint_count(const struct lorac_checkpoint *c)
{
    return c->n;
}

size_t lorac_checkpoint_bytes(const struct lorac_checkpoint *c)
{
    size_t bytes = 0;
    for (size_t i = 0; i < c->n; i++) {
        const struct lorac_tensor *t = lorac_checkpoint_at(c, i);
        bytes += lorac_dtype_bytes(t->dtype, t->n); // of what is mapped: no overflow
    }
    return bytes;
}

const struct lorac_tensor *lorac_checkpoint_at(const struct lorac_checkpoint *c, size_t i)
{
    return i < c->n ? &c->tensors[i] : NULL;
}

const char *lorac_checkpoint_metadata(const struct lorac_checkpoint *c, const char *key)
{
    return json_string_value(json_object_get(c->metadata, key)); // NULL passes through both
}

const char *lorac_checkpoint_note(const struct lorac_checkpoint *c)
{
    return !c->beside_index ? NULL
                            : "the model's folder holds model.safetensors and "
                              "model.safetensors.index.json: the one file is read, as transformers "
                              "does, and what the index names is not";
}

size_t lorac_checkpoint_shards(const struct lorac_checkpoint *c)
{
    return c->n_shards;
}

const char *lorac_checkpoint_shard_file(const struct lorac_checkpoint *c, size_t shard)
{
    return shard < c->n_shards ? c->shards[shard].path : NULL;
}
