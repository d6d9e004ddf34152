// Writes text with a tuirnn cell in OpenVINO: ./write CELL.onnx [PRIME] [LENGTH] [TEMPERATURE] [SEED]
// The symbols and the unknown one are read from CELL.json beside it.
#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <iterator>
#include <random>
#include <stdexcept>
#include <string>
#include <vector>

#include <openvino/openvino.hpp>

// One code point as UTF-8.
static std::string utf8(unsigned c) {
    if (c < 0x80) return {char(c)};
    if (c < 0x800) return {char(0xC0 | c >> 6), char(0x80 | (c & 63))};
    if (c < 0x10000) return {char(0xE0 | c >> 12), char(0x80 | (c >> 6 & 63)), char(0x80 | (c & 63))};
    return {char(0xF0 | c >> 18), char(0x80 | (c >> 12 & 63)), char(0x80 | (c >> 6 & 63)), char(0x80 | (c & 63))};
}

// The strings of the JSON array after "symbols".
static std::vector<std::string> symbols_of(const std::string& json) {
    std::vector<std::string> found;
    size_t at = json.find('[', json.find("\"symbols\""));
    while (json[++at] != ']') {
        if (json[at] != '"') continue;
        std::string symbol;
        while (json[++at] != '"') {
            if (json[at] != '\\') { symbol += json[at]; continue; }
            const char escape = json[++at];
            const std::string from = "nrtbf", to = "\n\r\t\b\f";
            if (escape == 'u') { symbol += utf8(std::stoul(json.substr(at + 1, 4), nullptr, 16)); at += 4; }
            else symbol += from.find(escape) != std::string::npos ? to[from.find(escape)] : escape;
        }
        found.push_back(symbol);
    }
    if (json.find("\"merges\"") != std::string::npos)
        throw std::runtime_error("a network of subwords: this example splits no text into them");
    if (found.empty())  // tokens are the byte values
        for (unsigned byte = 0; byte < 256; byte++) found.push_back(std::string(1, char(byte)));
    return found;
}

// Draws one of the first `count` tokens, the symbols: the unknown one comes after them.
static int64_t choose(const float* logits, size_t count, double temperature, std::mt19937_64& random) {
    const float peak = *std::max_element(logits, logits + count);
    std::vector<double> weights;
    for (size_t i = 0; i < count; i++) weights.push_back(std::exp((logits[i] - peak) / temperature));
    return std::discrete_distribution<int64_t>(weights.begin(), weights.end())(random);
}

// What the JSON file beside a cell says.
static std::string metadata_of(const std::string& path) {
    std::ifstream file(path.substr(0, path.rfind('.')) + ".json");
    const std::string json((std::istreambuf_iterator<char>(file)), {});
    if (json.empty()) throw std::runtime_error("no .json beside " + path);
    return json;
}

using StateMap = std::vector<std::pair<std::string, std::string>>;  // output -> input

// The state in which a text begins: zeros, or the one that the cell file keeps after a text.
static void begin(const std::string& json, const StateMap& state_map, std::vector<ov::Tensor>& state) {
    const size_t primed = json.find("\"tuirnn.state_init\": {");
    for (size_t i = 0; primed != std::string::npos && i < state_map.size(); i++) {
        size_t at = json.find('[', json.find('"' + state_map[i].second + '"', primed));
        for (size_t j = 0; j < state[i].get_size(); j++) {
            at = json.find_first_of("-0123456789", at);
            char* end = nullptr;
            state[i].data<float>()[j] = std::strtof(json.c_str() + at, &end);
            at = size_t(end - json.c_str());
        }
    }
}

int main(int argc, char** argv) try {
    if (argc < 2) return std::cerr << "usage: write CELL.onnx [PRIME] [LENGTH] [TEMPERATURE] [SEED]\n", 2;
    const std::string path = argv[1], prime = argc > 2 ? argv[2] : "The ";
    const int length = argc > 3 ? std::stoi(argv[3]) : 400;
    const double temperature = argc > 4 ? std::stod(argv[4]) : 0.7;
    std::mt19937_64 random(argc > 5 ? std::stoull(argv[5]) : 1);
    const std::string json = metadata_of(path);
    const auto symbols = symbols_of(json);

    ov::Core core;
    auto request = core.compile_model(path, "CPU", ov::hint::inference_precision(ov::element::f32),
                                      ov::inference_num_threads(1)).create_infer_request();
    // The state: each h_out or c_out of a step is the h_in or c_in of the next. Two sets of tensors take turns.
    StateMap state_map{{"h_out", "h_in"}};
    if (json.find("\"c_out\"") != std::string::npos) state_map.push_back({"c_out", "c_in"});
    const auto number = [&](const char* key) { return std::stoul(json.substr(json.find(':', json.find(key)) + 1)); };
    const ov::Shape shape{number("\"tuirnn.layers\""), 1, number("\"tuirnn.hidden\"")};
    std::vector<ov::Tensor> state[2];
    for (auto& set : state)
        for (size_t i = 0; i < state_map.size(); i++) {
            set.emplace_back(ov::element::f32, shape);
            std::fill_n(set.back().data<float>(), set.back().get_size(), 0.0f);
        }
    begin(json, state_map, state[0]);
    const bool has_unknown = json.find("\"tuirnn.unk\": null") == std::string::npos;
    ov::Tensor input(ov::element::i64, {1}), scores(ov::element::f32, {1, symbols.size() + has_unknown});
    request.set_tensor("token", input);
    request.set_tensor("logits", scores);
    int turn = 0;
    const auto step = [&](int64_t token) {
        *input.data<int64_t>() = token;
        for (size_t i = 0; i < state_map.size(); i++) {
            request.set_tensor(state_map[i].second, state[turn][i]);
            request.set_tensor(state_map[i].first, state[1 - turn][i]);
        }
        request.infer();
        turn = 1 - turn;
        return scores.data<float>();
    };
    const auto token_of = [&](const std::string& symbol) -> int64_t {  // the unknown one comes after the symbols
        return std::find(symbols.begin(), symbols.end(), symbol) - symbols.begin();
    };

    const int64_t newline = token_of("\n");
    const bool told = json.find("\"tuirnn.opening\"") != std::string::npos;  // older files do not have it
    const float* logits = step(told ? int64_t(number("\"tuirnn.opening\"")) :
                               newline < int64_t(symbols.size()) ? newline : 0);
    for (size_t at = 0, size; at < prime.size(); at += size) {
        for (size = 1; at + size < prime.size() && (prime[at + size] & 0xC0) == 0x80;) size++;
        logits = step(token_of(prime.substr(at, size)));
    }
    std::cout << prime;
    for (int i = 0; i < length; i++) {
        const int64_t token = choose(logits, symbols.size(), temperature, random);
        std::cout << symbols[token] << std::flush;
        logits = step(token);
    }
    std::cout << '\n';
    return 0;
} catch (const std::exception& error) {
    return std::cerr << error.what() << '\n', 1;
}
