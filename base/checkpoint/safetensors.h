/*
 * safetensors.h - tensors in files: reading (mapped, checked whole before use) and writing.
 *
 *   +--------+----------------------------------------+---------------------------+
 *   | n: u64 | JSON header, n bytes, padded by spaces | data: offsets start here  |
 *   +--------+----------------------------------------+---------------------------+
 *     {"__metadata__": {"format": "pt", ...},
 *      "model.norm.weight": {"dtype": "F32", "shape": [128], "data_offsets": [0, 512]}, ...}
 *
 * Checked: the length, the JSON, names, types, that shape and offsets agree, that the tensors tile
 * the data without gap or overlap. Numbers are little-endian, and so must the machine be.
 * (Source: huggingface/safetensors, README "Format" and safetensors/src/tensor.rs.)
 */
#ifndef LORAC_BASE_SAFETENSORS_H
#define LORAC_BASE_SAFETENSORS_H

#include "base/core/dtype.h"
#include "base/core/err.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

LORAC_API_BEGIN

enum { LORAC_MAX_DIMS = 4, LORAC_NAME_SIZE = 256 };

struct lorac_tensor {
    char name[LORAC_NAME_SIZE];
    enum lorac_dtype dtype;
    size_t n_dims, dims[LORAC_MAX_DIMS]; // a scalar has n_dims 0
    size_t n;                            // elements
    const void *data; // borrowed from the map, at any address: old files are unaligned
    size_t shard;     // index of the file it lies in
};

/* One file, or several shards behind one index, opened read-only. */
struct lorac_checkpoint;

/* Open `path`: a .safetensors file, a model.safetensors.index.json, or a folder with
 * "model.safetensors" or that index (the index wins only where the single file is absent). With an
 * index, every tensor must lie in the file the index says and no file may hold others; shards are
 * plain names in the index's folder, numbered in the order of these names. The files stay mapped
 * until the checkpoint is closed; nothing may write to them or cut them meanwhile. */
LORAC_MUST_CHECK enum lorac_status lorac_checkpoint_open(struct lorac_checkpoint **out,
                                                         const char *path, struct lorac_err *err);
/* One safetensors image in memory (borrowed, must outlive the checkpoint); `file` for messages. */
LORAC_MUST_CHECK enum lorac_status lorac_checkpoint_parse(struct lorac_checkpoint **out,
                                                          const unsigned char *bytes, size_t n,
                                                          const char *file, struct lorac_err *err);
void lorac_checkpoint_close(struct lorac_checkpoint *c);
/* Let go of the pages of mapped files; see lorac_map_forget(). */
void lorac_checkpoint_forget(const struct lorac_checkpoint *c);

size_t lorac_checkpoint_count(const struct lorac_checkpoint *c);
size_t lorac_checkpoint_bytes(const struct lorac_checkpoint *c); // of all tensors
/* Tensor i in the order of shards and, within one, of the data. Borrowed. */
const struct lorac_tensor *lorac_checkpoint_at(const struct lorac_checkpoint *c, size_t i);
const struct lorac_tensor *lorac_checkpoint_find(const struct lorac_checkpoint *c,
                                                 const char *name);
/* Give each tensor the name that `put` makes of its own; the files stay as they are. LORAC_EFORMAT
 * where two get the same; the checkpoint is then only to be closed. */
typedef void lorac_rename_fn(void *self, char to[LORAC_NAME_SIZE], const char *name);
LORAC_MUST_CHECK enum lorac_status lorac_checkpoint_rename(struct lorac_checkpoint *c,
                                                           lorac_rename_fn *put, void *self,
                                                           struct lorac_err *err);
/* The value of a __metadata__ key of shard 0, or NULL. Borrowed. */
const char *lorac_checkpoint_metadata(const struct lorac_checkpoint *c, const char *key);
/* A choice between files that was made in opening, worth telling; NULL: none was. */
const char *lorac_checkpoint_note(const struct lorac_checkpoint *c);
size_t lorac_checkpoint_shards(const struct lorac_checkpoint *c);
const char *lorac_checkpoint_shard_file(const struct lorac_checkpoint *c, size_t shard); // its path

/* Writing. Tensors are written in the order given; the caller sorts (larger elements first keeps
 * all of them aligned). The same arguments give the same bytes. */
struct lorac_tensor_spec {
    const char *name;
    enum lorac_dtype dtype;
    size_t n_dims, dims[LORAC_MAX_DIMS];
    const void *data; // elements of type `dtype`; NULL: `fill` is asked
};
/* Write the elements of tensor i into `to` (its full size); for tensors computed one at a time. */
typedef enum lorac_status lorac_fill_fn(void *self, void *to, size_t i, struct lorac_err *err);
/* Write a file atomically. `meta` is n_meta pairs key, value ("format": "pt" is always written
 * first). One scratch block of the largest tensor that `fill` computes is allocated. What the
 * reader would refuse (a name given twice, text that is not UTF-8, ...) is refused before a file is
 * made. */
LORAC_MUST_CHECK enum lorac_status lorac_safetensors_write(const char *path,
                                                           const struct lorac_tensor_spec *tensors,
                                                           size_t n, const char *const *meta,
                                                           size_t n_meta, lorac_fill_fn *fill,
                                                           void *self, struct lorac_err *err);
/* Write the index of a sharded checkpoint atomically: tensor names[i] lies in the shard files[i], a
 * plain file name; `total_size` is the bytes of data in all shards. */
LORAC_MUST_CHECK enum lorac_status lorac_safetensors_index_write(const char *path,
                                                                 const char *const *names,
                                                                 const char *const *files, size_t n,
                                                                 uint64_t total_size,
                                                                 struct lorac_err *err);

LORAC_API_END

#endif
