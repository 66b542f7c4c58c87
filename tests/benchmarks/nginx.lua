-- The benchmark's endpoint. /KIND/MILLISECONDS/chat/completions is answered with a reply of that kind after that time;
-- GET /stats says how many requests came, when the first did, and how many waited for their answer at once at most;
-- POST /reset begins anew.
local replies, streamed, count, first, waiting, most = {}, nil, 0, 0, 0, 0

local function read(path)
    local file = assert(io.open(path, "rb"))
    local data = file:read("*a")
    file:close()
    return data
end

local M = {}

-- `folder` has KIND-NUMBER.head and KIND-NUMBER.tail of each reply, and `stream`.
function M.load(folder, kinds, variety)
    for _, kind in ipairs(kinds) do
        replies[kind] = {}
        for number = 0, variety - 1 do
            local name = folder .. "/" .. kind .. "-" .. number
            replies[kind][number] = { read(name .. ".head"), read(name .. ".tail") }
        end
    end
    streamed = read(folder .. "/stream")
    M.variety = variety
end

function M.answer(kind, milliseconds)
    if first == 0 then
        ngx.update_time()
        first = ngx.now()
    end
    local number = count
    count = count + 1
    ngx.req.read_body()
    if milliseconds ~= "0" then
        waiting = waiting + 1
        most = math.max(most, waiting)
        ngx.sleep(tonumber(milliseconds) / 1000)
        waiting = waiting - 1
    end
    if kind == "stream" then
        ngx.header["Content-Type"] = "text/event-stream"
        ngx.header["Content-Length"] = #streamed
        return ngx.print(streamed)
    end
    local reply = replies[kind][number % M.variety]
    ngx.header["Content-Type"] = "application/json"
    ngx.header["Content-Length"] = #reply[1] + 12 + #reply[2]
    ngx.print(reply[1], string.format("%012x", number), reply[2])
end

function M.stats()
    ngx.print(string.format('{"requests": %d, "first": %.3f, "most": %d}', count, first, most))
end

function M.reset()
    count, first, most = 0, 0, 0
end

return M
