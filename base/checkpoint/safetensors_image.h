/*
 * safetensors_image.h - inside base/: one safetensors image checked and taken apart. checkpoint.c
 * puts several together; safetensors_write.c checks with it the header that it is about to write.
 */
#ifndef LORAC_BASE_SAFETENSORS_IMAGE_H
#define LORAC_BASE_SAFETENSORS_IMAGE_H

#include "base/checkpoint/safetensors.h"
#include "base/core/json.h"

/* Limits. The header's is that of the reference implementation (MAX_HEADER_SIZE in tensor.rs). */
enum { LORAC_MAX_HEADER = 100000000, LORAC_MAX_TENSORS = 1 << 18 };

struct lorac_image {
    struct lorac_tensor *tensors; // in the order of the data; owned
    size_t n;
    json_t *metadata; // an object of texts, or NULL; owned
};

/* Check the n bytes of an image and find its tensors, which borrow `bytes`. */
LORAC_MUST_CHECK enum lorac_status lorac_image_parse(struct lorac_image *out,
                                                     const unsigned char *bytes, size_t n,
                                                     const char *file, struct lorac_err *err);
/* The same for a header alone, n bytes of text, that `n_data` bytes at `data` follow. With `data`
 * NULL they are not there yet, and the tensors' data is NULL. */
LORAC_MUST_CHECK enum lorac_status lorac_image_header(struct lorac_image *out, const char *text,
                                                      size_t n, const unsigned char *data,
                                                      size_t n_data, const char *file,
                                                      struct lorac_err *err);
void lorac_image_free(struct lorac_image *image);

/* Check the root of an index: "weight_map" is an object from tensor name to the plain name of a
 * .safetensors file in the same folder. */
LORAC_MUST_CHECK enum lorac_status lorac_index_check(const struct lorac_json *root,
                                                     struct lorac_err *err);

/* Check the name of a tensor or shard: 1 to LORAC_NAME_SIZE - 1 bytes, no control characters (of
 * ASCII or Unicode: messages show names, and terminals obey these). */
LORAC_MUST_CHECK enum lorac_status lorac_name_check(const char *name, const char *file,
                                                    struct lorac_err *err);

#endif
