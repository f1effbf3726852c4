extern "C" int ship_library_answer();
extern "C" int ship_library_answer() { return 0; }
