/*
 * base.h - the frozen model: checkpoints, tokenizers, packed batches, passes, generation, and the
 * small core (errors, memory, files) that everything shares. The public header of this folder.
 */
#ifndef LORAC_BASE_H
#define LORAC_BASE_H

#include "base/batch.h"
#include "base/chat.h"
#include "base/checkpoint/hub.h"
#include "base/checkpoint/safetensors.h"
#include "base/compare.h"
#include "base/compute/device.h"
#include "base/compute/start.h"
#include "base/config.h"
#include "base/core/buf.h"
#include "base/core/clock.h"
#include "base/core/err.h"
#include "base/core/file.h"
#include "base/core/json_value.h"
#include "base/core/machine.h"
#include "base/core/mem.h"
#include "base/core/suggest.h"
#include "base/embed.h"
#include "base/fingerprint.h"
#include "base/generate.h"
#include "base/init.h"
#include "base/model.h"
#include "base/profile.h"
#include "base/tokenizer/tokenizer.h"
#include "base/tokenizer/train.h"

#endif
