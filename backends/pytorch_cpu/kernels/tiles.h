// AMX tiles: eight registers of 16 rows of 64 bytes, the same shape for every product here.
#pragma once
#include <cstdint>

#if defined(__AMX_TILE__)
#include <cpuid.h>
#include <immintrin.h>
#include <sys/syscall.h>
#include <unistd.h>

// True if the processor has AMX tiles and Linux grants this process their use, which must be requested.
inline bool has_tiles() {
  constexpr long kRequestPermission = 0x1023, kTileData = 18;  // ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA
  unsigned a, b, c, d = 0;
  // bits 22, 24 and 25: AMX-BF16, AMX-TILE and AMX-INT8
  const bool has = __get_cpuid_count(7, 0, &a, &b, &c, &d) && (d >> 22 & 0xd) == 0xd;
  return has && syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
}

inline void configure_tiles() {
  struct alignas(64) {
    uint8_t palette = 1, start_row = 0, reserved[14] = {};
    uint16_t row_bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
    uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
  } shapes;
  // GCC's intrinsic declares that it reads 8 bytes; without this the others need not have been written yet.
  __asm__ volatile("" : : "r"(&shapes) : "memory");
  _tile_loadconfig(&shapes);
}
#endif
