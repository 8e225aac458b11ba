/* sentencepiece.c -- the .model files of sentencepiece.
 *
 * In: a protobuf message, parsed by protobuf-c with the fields of
 * sentencepiece_model.proto. Out: a tokenizer whose ids, with bos or eos
 * around them, are those of SentencePieceProcessor.
 *
 * protobuf-c checks lengths against the data and allocates no more than a
 * small multiple of it; what the fields say is checked here and in pieces.c.
 */
#include "../load/json_file.h"
#include "../load/path.h"
#include "pieces.h"
#include "sentencepiece_model.pb-c.h"

#include <stdlib.h>
#include <string.h>

typedef KrsiSp__ModelProto proto;

static krsi_scored_piece
piece_at(const void *user, size_t i)
{
    const proto *m = user;
    const KrsiSp__SentencePiece *p = m->pieces[i];
    return (krsi_scored_piece){(const char *)p->piece.data, p->piece.len,
                               p->score, p->type};
}

static char *
text_of(protobuf_c_boolean has, const ProtobufCBinaryData *data,
        const char *usual)
{
    return has ? krsi_copy_text((const char *)data->data, data->len)
               : krsi_copy_text(usual, strlen(usual));
}

/* The id of a control piece, -1 if it is none. */
static krs_status
find_control(const krs_tokenizer *t, protobuf_c_boolean has,
             const ProtobufCBinaryData *data, const char *usual, int64_t *out,
             krs_error *err)
{
    char *text = text_of(has, data, usual);
    if (!text)
        return krsi_no_memory(err, "a piece");
    uint32_t id = krsi_vocabulary_find(&t->vocabulary, text, strlen(text));
    free(text);
    *out = id != KRSI_NO_ID && t->model.types[id] == KRS_TOKEN_CONTROL
               ? (int64_t)id
               : -1;
    return KRS_OK;
}

static krs_status
read_charsmap(const char *name, const KrsiSp__NormalizerSpec *n,
              krsi_charsmap **out, krs_error *err)
{
    if (!n || !n->has_precompiled_charsmap || n->precompiled_charsmap.len == 0)
        return KRS_OK;
    return krsi_charsmap_new(name, n->precompiled_charsmap.data,
                             n->precompiled_charsmap.len, out, err);
}

static krs_status
read_text_rules(const char *name, const proto *m, krs_tokenizer *t,
                krs_error *err)
{
    static const KrsiSp__TrainerSpec usual_trainer =
        KRSI_SP__TRAINER_SPEC__INIT;
    static const KrsiSp__NormalizerSpec usual = KRSI_SP__NORMALIZER_SPEC__INIT;
    const KrsiSp__TrainerSpec *trainer =
        m->trainer_spec ? m->trainer_spec : &usual_trainer;
    const KrsiSp__NormalizerSpec *n =
        m->normalizer_spec ? m->normalizer_spec : &usual;
    const KrsiSp__NormalizerSpec *back = m->denormalizer_spec;
    krsi_piece_text *p = &t->piece_text;
    p->on = true;
    p->dummy_prefix = n->add_dummy_prefix;
    p->as_suffix = trainer->treat_whitespace_as_suffix;
    p->remove_extra = n->remove_extra_whitespaces;
    p->escape = n->escape_whitespaces;
    KRS_TRY(read_charsmap(name, m->normalizer_spec, &p->charsmap, err));
    p->unk_surface = text_of(trainer->has_unk_surface, &trainer->unk_surface,
                             " \xE2\x81\x87 ");
    if (!p->unk_surface)
        return krsi_no_memory(err, "a piece");
    /* sentencepiece undoes the normalization only where there is a charsmap */
    KRS_TRY(read_charsmap(name, back, &p->decoder_charsmap, err));
    p->decodes = p->decoder_charsmap != NULL;
    if (p->decodes) {
        p->decoder_dummy = back->add_dummy_prefix;
        p->decoder_remove = back->remove_extra_whitespaces;
        p->decoder_escape = back->escape_whitespaces;
    }
    KRS_TRY(find_control(t, trainer->has_bos_piece, &trainer->bos_piece, "<s>",
                         &t->bos, err));
    KRS_TRY(find_control(t, trainer->has_eos_piece, &trainer->eos_piece, "</s>",
                         &t->eos, err));
    return find_control(t, trainer->has_pad_piece, &trainer->pad_piece, "<pad>",
                        &t->pad, err);
}

static bool
answer(krs_answer said, bool unsaid)
{
    return said == KRS_UNSAID ? unsaid : said == KRS_YES;
}

static krs_status
read_model(const char *name, const proto *m,
           const krs_tokenizer_config *settings, krs_tokenizer *t,
           krs_error *err)
{
    const KrsiSp__TrainerSpec *trainer = m->trainer_spec;
    int type = trainer ? trainer->model_type : KRSI_PIECES_UNIGRAM;
    krsi_pieces pieces = {.name = name,
                          .byte_fallback = trainer && trainer->byte_fallback,
                          .count = m->n_pieces,
                          .piece = piece_at,
                          .user = m};
    if (type < KRSI_PIECES_UNIGRAM || type > KRSI_PIECES_CHAR)
        return krs_fail(err, KRS_E_FORMAT,
                        "%s: trainer_spec.model_type is %d; 1 (unigram), 2 "
                        "(bpe), 3 (word) and 4 (char) are known",
                        name, type);
    pieces.kind = (krsi_pieces_kind)type;
    KRS_TRY(krsi_pieces_set(t, &pieces, err));
    KRS_TRY(read_text_rules(name, m, t, err));
    t->adds_bos =
        answer(settings->add_bos_token, pieces.kind == KRSI_PIECES_BPE);
    t->adds_eos =
        answer(settings->add_eos_token, pieces.kind == KRSI_PIECES_UNIGRAM);
    KRS_TRY(krsi_add_around(t, err));
    return krsi_tokenizer_ready(t, err);
}

krs_status
krsi_parse_sentencepiece(const char *name, const char *data, size_t bytes,
                         const krs_tokenizer_config *settings,
                         krs_tokenizer **out, krs_error *err)
{
    krs_tokenizer *t;
    proto *m = krsi_sp__model_proto__unpack(NULL, bytes, (const uint8_t *)data);
    if (!m)
        return krs_fail(err, KRS_E_FORMAT,
                        "%s: is no sentencepiece model: its %zu bytes are not "
                        "a whole protobuf message, or memory is out",
                        name, bytes);
    krs_status status = krsi_tokenizer_new(&t, err);
    if (status == KRS_OK) {
        status = read_model(name, m, settings, t, err);
        if (status == KRS_OK)
            *out = t;
        else
            krs_tokenizer_free(t);
    }
    krsi_sp__model_proto__free_unpacked(m, NULL);
    return status;
}

krs_status
krsi_read_sentencepiece(const char *path, const krs_tokenizer_config *settings,
                        krs_tokenizer **out, krs_error *err)
{
    char *data;
    size_t bytes;
    KRS_TRY(krsi_file_whole(path, KRSI_JSON_BYTES, &data, &bytes, err));
    krs_status status =
        krsi_parse_sentencepiece(path, data, bytes, settings, out, err);
    free(data);
    return status;
}
